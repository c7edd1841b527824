// Server-sent events from text that comes in pieces.

export function eventReader(onEvent) {
  let rest = "";
  let name = "message";
  let lines = [];
  return (piece) => {
    const parts = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop();
    for (const line of parts) {
      if (line === "") {
        if (lines.length) onEvent(name, lines.join("\n"));
        [name, lines] = ["message", []];
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "event") name = value;
      if (field === "data") lines.push(value);
    }
  };
}
