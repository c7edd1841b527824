// A countdown that can be cut short or given up. Only its start is read out, not each second.

export function countdown(seconds, show, signal) {
  return new Promise((resolve, reject) => {
    const end = performance.now() + seconds * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
      show(left);
      if (left === 0) finish(resolve);
    };
    const timer = setInterval(tick, 250);
    const finish = (how, value) => { clearInterval(timer); how(value); };
    signal.addEventListener("abort", () => finish(reject, new DOMException("stopped", "AbortError")), { once: true });
    tick();
  });
}
