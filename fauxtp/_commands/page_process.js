// The panel of one process: what it does, where it waits, what became of it, what may be done to it.
let told = {}, ended = null; // what came with the details, or in their place
const FEW = 30; // links and monitors that are shown

function choose(pid) {
  chosen = pid;
  details = stateText = ended = null;
  told = {};
  if (frame) show();
  look();
  if (matchMedia("(max-width: 800px)").matches) at("one").scrollIntoView({block: "nearest"});
}

async function look() {
  const pid = chosen;
  try {
    const answer = await asked(`/process?which=${pid}`);
    if (pid !== chosen) return;
    if (answer.ended) ended = answer.ended; else { details = answer.process; told = answer; ended = null; }
    showOne("");
  } catch (error) {
    if (pid === chosen) showOne(error.message);
  }
}

function link(row) {
  const button = made("button", {}, row.class === undefined ? `<PID ${row.pid}>` : `${called(row)} <PID ${row.pid}>`);
  button.addEventListener("click", () => choose(row.pid));
  return button;
}
const known = (pid) => link((told.known || []).find((row) => row.pid === pid) || {pid});

// The end of a path is enough to know it; the rest is shown where somebody points at it.
function place([file, line, name]) {
  return made("div", {title: `${file}:${line}`}, `${file.split(/[\\/]/).slice(-3).join("/")}:${line} in ${name}`);
}

function showOne(error) {
  at("main").classList.toggle("chosen", chosen !== null);
  at("one").hidden = chosen === null;
  if (chosen === null) return;
  const close = made("button", {}, "Close");
  close.addEventListener("click", () => { chosen = null; showOne(""); if (frame) show(); });
  const row = details || (ended && ended.last);
  const parts = [made("div", {class: "bar"}, made("h2", {}, row ? called(row) : `<PID ${chosen}>`), close)];
  if (error) parts.push(made("p", {class: "bad", id: "error"}, error));
  if (ended) parts.push(gone());
  parts.push(...before(ended ? ended.lately : told.lately || []));
  if (row) {
    const facts = made("div", {}, ...(ended ? [made("h2", {}, "What was last known")] : []), factsOf(row),
      ...whereabouts(row), ...childrenOf(row));
    if (ended) facts.classList.add("past");
    parts.push(facts);
  }
  if (details && !ended) parts.push(...allowed(frame ? frame.program.allows : []));
  at("one").replaceChildren(...parts);
}

function gone() {
  const line = made("p", {id: "ended"}, made("span", {class: "bad"}, "ended"));
  if (ended.successor) line.append("; its successor: ", link(ended.successor));
  else line.append(ended.last.names.length ? "; nobody has its name now" : "; nobody is known in its place");
  return line;
}

function before(happenings) {
  if (!happenings.length) return [];
  const some = happenings.slice(0, 8).map(happened);
  return [made("h2", {}, "Lately, of it and those before it"), made("div", {id: "before", class: "lines"}, ...some)];
}

function factsOf(row) {
  const list = made("dl", {});
  const say = (name, ...values) => { if (values.length) list.append(made("dt", {}, name), made("dd", {}, ...values)); };
  const some = (pids = []) => {
    const shown = pids.slice(0, FEW).map(known);
    return pids.length > FEW ? [...shown, ` and ${number(pids.length - FEW)} more`] : shown;
  };
  say("PID", `<PID ${row.pid}>`);
  say("class", row.module === undefined ? row.class : `${row.module}.${row.class}`);
  if (!ended) say("phase", row.phase);
  if (row.mailbox !== undefined) say("mailbox", number(row.mailbox) + (row.room ? `, room for ${number(row.room)}` : ""));
  if (row.handled) say("messages handled", number(row.handled));
  if (row.restarts) say("restarted", `${number(row.restarts)} times`);
  if (row.restarts_below) say("has restarted its children", `${number(row.restarts_below)} times`);
  if (row.given_up) say("calls given up", number(row.given_up));
  if (row.handling) {
    const since = made("span", {class: slowness(row.handling_for)}, row.handling_for === undefined ? "" : ` for ${seconds(row.handling_for)}`);
    say("handles", row.handling, since);
  }
  if (typeof row.waiting_for === "number") {
    const what = {room: "for room in the mailbox of ", start: "for the start of "}[row.waits] || "for ";
    say("waits", what, known(row.waiting_for));
  }
  if (typeof row.supervisor === "number") say("supervisor", known(row.supervisor));
  if (row.children) say("children", number(row.children));
  say("links", ...some(row.links));
  say("monitors", ...some(row.monitors));
  if (row.watchers !== undefined) say("watchers", number(row.watchers));
  return list;
}

// By their names alone, if they are of one class, as that stands above.
function childrenOf(row) {
  const {children = [], kinds = []} = told;
  if (!row.children || !children.length) return [];
  const shown = children.map((child) => {
    const button = link(child);
    button.title = button.textContent;
    if (child.names.length) button.textContent = kinds.length > 1 ? called(child) : `'${child.names[0]}'`;
    return button;
  });
  const more = row.children - children.length;
  return [made("h2", {}, "Children"),
    made("div", {id: "kinds", class: "dim"}, kinds.map(([kind, count]) => `${kind} × ${number(count)}`).join(", ")),
    made("div", {id: "children"}, ...shown, more > 0 ? ` and ${number(more)} more` : "")];
}

function whereabouts(row) {
  if (!row.stack) return [];
  const nowhere = row.runs ? "it runs just now" : row.handling ? "nowhere: it runs" : "nowhere: it is idle";
  return [made("h2", {}, row.runs ? "Where it runs" : "Where it waits"),
    made("pre", {id: "stack"}, ...(row.stack.length ? row.stack.map(place) : [nowhere]))];
}

function allowed(rights) {
  const parts = [];
  if (rights.includes("state")) {
    const button = made("button", {}, "Show the state");
    button.addEventListener("click", showState);
    parts.push(made("div", {class: "bar"}, button));
    if (stateText !== null) parts.push(made("pre", {id: "state"}, stateText));
  }
  if (rights.includes("exit")) {
    parts.push(made("div", {class: "bar"}, ...["exit", "kill", "restart", "suspend", "resume"].map((action) => {
      const button = made("button", {}, action);
      button.addEventListener("click", () => act(action));
      return button;
    })));
  }
  return parts;
}

async function showState() {
  try {
    const state = await asked(`/state?which=${chosen}`);
    const size = state.size === null ? "" : ` of ${number(state.size)}`;
    stateText = `${state.type}${size}\n` + (state.is_blocked ? "its event loop is blocked, and does not tell more"
      : state.is_shown ? state.state : "its class shows nothing of it");
  } catch (error) { stateText = error.message; }
  showOne("");
}

// It is meant for the process that is shown as it is asked for, whoever is chosen by then.
async function act(action) {
  const {pid} = details, name = details.names[0] ?? details.class;
  if (prompt(`${action} ${called(details)} <PID ${pid}>? Type ${name} to do so.`) !== name) return;
  try {
    const done = await asked("/act", {method: "POST", headers: {"Content-Type": "application/json", "X-Fauxtp": "1"},
      body: JSON.stringify({action, which: pid})});
    tell(done.done);
  } catch (error) { tell(error.message); }
}

// What came of it is to be read: frames leave it there for a while.
let toldUntil = 0;
function tell(text) {
  at("said").textContent = text;
  toldUntil = performance.now() + 8000;
}
