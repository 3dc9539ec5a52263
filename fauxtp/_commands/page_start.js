// The beginning: frames come, second by second, and are shown; and what the buttons do.
function listen() {
  if (source) source.close();
  const asks = new URLSearchParams({by: at("by").value, find: at("find").value, opened: [...opened].join(",")});
  source = new EventSource(`/events?${asks}`);
  source.addEventListener("frame", (event) => {
    if (isPaused) return;
    frame = JSON.parse(event.data);
    received = performance.now();
    if (performance.now() > toldUntil) at("said").textContent = "";
    show();
    if (chosen !== null) look();
  });
  source.addEventListener("gone", (event) => {
    source.close();
    at("said").textContent = JSON.parse(event.data).error;
  });
  source.onerror = ({target}) => {
    at("said").textContent = "no connection to the viewer";
    // A browser tries again by itself, but not where it was turned away.
    if (target.readyState === EventSource.CLOSED) setTimeout(() => { if (source === target) listen(); }, 1000);
  };
}

function show() {
  const {program} = frame;
  document.title = `fauxtp ${program.pid}`;
  at("title").textContent = `${program.pid}: ${program.command.join(" ")}`;
  at("counts").textContent = `${number(program.processes)} processes, ${number(program.names)} names, since `
    + `${seconds(program.seconds)}; fauxtp ${program.fauxtp}, Python ${program.python}`;
  showUpdated();
  showCharts();
  showLately();
  showFound();
  at("tree").hidden = isTable;
  at("table").hidden = at("order").hidden = !isTable;
  if (isTable) showTable(); else showTree();
}

function showUpdated() {
  if (!frame) return;
  const age = frame.age + (performance.now() - received) / 1000;
  const took = frame.took < 60 ? `${frame.took.toFixed(1)} s` : seconds(frame.took);
  at("updated").textContent = `updated ${age < 60 ? `${Math.floor(age)} s` : seconds(age)} ago, took ${took}${isPaused ? "; paused" : ""}`;
  at("updated").className = age > 10 ? "bad" : "dim";
}

function showFound() {
  const drawn = frame.tree.nodes.filter((node) => node.is_found).length;
  const some = frame.found > drawn && !isTable ? `, ${number(drawn)} of them drawn` : "";
  at("found").textContent = !frame.find ? "" : frame.found ? `${number(frame.found)} found${some}` : "nothing found";
  at("found").className = frame.find && !frame.found ? "bad" : "dim";
}

function press(id, is) { at(id).setAttribute("aria-pressed", String(is)); }
function turn(toTable) {
  isTable = toTable;
  press("show-tree", !toTable);
  press("show-table", toTable);
  if (frame) show();
}
at("show-tree").addEventListener("click", () => turn(false));
at("show-table").addEventListener("click", () => turn(true));
at("by").addEventListener("change", listen);
at("pause").addEventListener("click", () => { isPaused = !isPaused; press("pause", isPaused); showUpdated(); });
let typing = 0;
at("find").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(listen, 200); });
at("lately-box").addEventListener("toggle", () => { if (frame) showLately(); });
if (matchMedia("(max-width: 800px)").matches) at("charts-box").open = at("lately-box").open = false;
setInterval(showUpdated, 500);
listen();
