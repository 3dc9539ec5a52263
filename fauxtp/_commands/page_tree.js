// The tree: boxes and lines as they were laid out for it; calls are drawn on top.
function marker(kind) {
  const element = drawn("marker", {id: `end-${kind}`, class: kind, viewBox: "0 0 8 8", refX: 7, refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto"});
  element.append(drawn("path", {d: "M0 0L8 4L0 8z"}));
  return element;
}

function showTree() {
  const {nodes, lines, width, height} = frame.tree;
  // Each call has a halo where it crosses a box; those of who is chosen come last, and are seen.
  const children = [], halos = [], calls = [], own = [];
  for (const [from, to, kind, d] of lines) {
    if (kind === "child") { children.push(drawn("path", {d})); continue; }
    const isOwn = [from, to].includes(String(chosen));
    halos.push(drawn("path", {class: "halo", d}));
    (isOwn ? own : calls).push(drawn("path", {class: kind + (isOwn ? " own" : ""), "marker-end": `url(#end-${kind})`, d}));
  }
  const svg = drawn("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "who supervises whom"});
  const ends = drawn("defs", {});
  ends.append(marker("call"), marker("circle"));
  svg.append(ends, ...children, ...nodes.map(box), ...halos, ...calls, ...own);
  const focused = document.activeElement && document.activeElement.dataset.id;
  at("tree").replaceChildren(svg);
  if (focused) svg.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
}

function box(node) {
  const [wide, high] = frame.tree.box, [x, y] = node.at;
  const marks = [node.state, node.is_in_circle && "circle", node.folded && "fold", node.has_crashed && "crashed",
    (node.is_found || node.id === String(chosen)) && "here"];
  const group = drawn("g", {class: marks.filter(Boolean).join(" "), tabindex: 0, "data-id": node.id});
  group.append(drawn("rect", {x, y, width: wide, height: high, rx: 5}),
    drawn("text", {x: x + 8, y: y + 14}, node.label),
    drawn("text", {class: "detail", x: x + 8, y: y + 27}, node.detail));
  const right = x + wide - 8;
  if (node.mailbox) group.append(drawn("text", {class: "count", x: right, y: y + 14}, number(node.mailbox)));
  if (node.time) group.append(drawn("text", {class: "time", x: right, y: y + 27}, node.time));
  if (node.restarts) group.append(badge(right, y, node));
  const act = () => node.folded ? open(node.of) : choose(Number(node.id));
  group.addEventListener("click", act);
  group.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
  return group;
}

function badge(right, y, node) {
  const text = `↻ ${number(node.restarts)}`, wide = 12 + 6 * text.length;
  const group = drawn("g", {class: "restarts"});
  group.append(drawn("title", {}, node.state === "ended" ? `crashed ${number(node.restarts)} times, and not there` : `restarted ${number(node.restarts)} times`),
    drawn("rect", {x: right - wide, y: y - 8, width: wide, height: 14, rx: 7}),
    drawn("text", {x: right - wide / 2, y: y + 2.5}, text));
  return group;
}

function open(pid) {
  const id = pid === null ? "root" : pid;
  if (opened.has(id)) opened.delete(id); else opened.add(id);
  listen();
}
