// The table: who has most of what it is ordered by.
const COLUMNS = ["mailbox", "in handler", "restarts", "children", "monitors"];

function showTable() {
  const circle = new Set(frame.tree.nodes.filter((node) => node.is_in_circle).map((node) => Number(node.id)));
  const head = made("tr", {}, ...COLUMNS.map((name) => made("th", {class: "number"}, name)),
    made("th", {}, "process"), made("th", {}, "does"), made("th", {class: "wide"}, "waits for"));
  const lines = frame.table.map((row) => {
    const marks = [row.pid === chosen && "here", circle.has(row.pid) && "circle"].filter(Boolean).join(" ");
    const line = made("tr", {class: marks, "data-pid": row.pid},
      made("td", {class: "number"}, number(row.mailbox)),
      made("td", {class: `number ${slowness(row.handling_for)}`}, row.handling === null ? "–" : seconds(row.handling_for)),
      made("td", {class: "number"}, (row.phase === "ended" ? "≥ " : "") + number(row.restarts)),
      made("td", {class: "number"}, number(row.children)),
      made("td", {class: "number"}, number(row.watchers)),
      made("td", {}, `${called(row)} <PID ${row.pid}>`),
      made("td", {class: "text"}, does(row)),
      made("td", {class: "wide text"}, waits(row, row.waits_for)));
    line.addEventListener("click", () => choose(row.pid));
    return line;
  });
  const more = frame.found > lines.length ? `the first ${lines.length} of ${number(frame.found)}` : `${number(frame.found)}`;
  at("table").replaceChildren(made("table", {}, made("thead", {}, head), made("tbody", {}, ...lines)),
    made("p", {class: "dim"}, `${more} processes`));
}

function does(row) {
  if (row.phase === "ended") return `not there just now: crashed ${number(row.restarts)} times lately`;
  return [row.phase !== "running" && row.phase, row.handling,
    row.restarts_below && `has restarted its children ${number(row.restarts_below)} times`].filter(Boolean).join("; ");
}

function waits(row, whom) {
  if (row.waiting_for === null) return "";
  const what = {room: "room in the mailbox of ", start: "the start of "}[row.waits] || "";
  return what + (whom ? `${called(whom)} ` : "") + `<PID ${row.waiting_for}>`;
}
