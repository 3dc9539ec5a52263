// Lately: what went wrong while a page was open, the same folded into one line with a count.
const KINDS = {
  crashed: "crashed", init_failed: "did not start", restarted: "restarted", restarts_exceeded: "given up",
  call_cycle: "call cycle", call_timed_out: "call timed out", loop_blocked: "loop blocked",
};
const opensAt = Date.now() / 1000;

function showLately() {
  const found = frame.lately;
  const last = found.length ? `: ${KINDS[found[0].kind]}, ${whose(found[0])}` : "";
  at("lately-title").textContent = `Lately, while a page is open${at("lately-box").open ? "" : last}`;
  const lines = found.map(happened);
  if (!lines.length) lines.push(made("p", {class: "dim"}, `nothing went wrong since ${time(opensAt)}`));
  if (frame.left_out) lines.push(made("p", {class: "dim"}, `and ${number(frame.left_out)} that came too fast to be told`));
  at("lately").replaceChildren(...lines);
}

function whose(one) {
  const names = one.names || one.who.names;
  return called({...one.who, names}) + (one.more_names ? ` and ${number(one.more_names)} others` : "");
}

function happened(one) {
  const parts = [
    made("time", {class: "dim"}, time(one.at)),
    made("span", {class: "times"}, one.count > 1 ? `× ${number(one.count)}` : ""),
    made("span", {class: one.kind === "restarted" ? "kind" : "kind bad"}, KINDS[one.kind] || one.kind),
    made("span", {class: "who"}, whose(one)),
    made("span", {class: "how"}, how(one)),
  ];
  const pid = one.who.pid ?? one.others[0]?.pid;
  if (pid === undefined || pid === null) return made("div", {class: "line"}, ...parts);
  const line = made("button", {class: "line"}, ...parts);
  line.addEventListener("click", () => choose(pid));
  return line;
}

function how({kind, error, message, others}) {
  const names = others.map(called);
  if (kind === "call_cycle") return names.join(" → ");
  if (kind === "call_timed_out") return `${error} to ${message}${names.length ? `, which ${names[0]} asked` : ""}`;
  return [error, message && `as it handled ${message}`, names.length && `by ${names[0]}`].filter(Boolean).join(", ");
}
