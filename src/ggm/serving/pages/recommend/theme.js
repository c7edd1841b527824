// Before the page is painted, so that it doesn't flash: the colours that were chosen here before.
"use strict";
try {
  const theme = localStorage.getItem("ggm.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing follows the system.
}
