// Charts: figures over the time for which the page was open, with a scale, and gaps as gaps.
const TALL = 40, LONG = 300;

function inUnit(value, unit) {
  if (value === null) return "–";
  if (unit === "s") return seconds(value);
  return number(value < 100 ? Math.round(value * 10) / 10 : Math.round(value)) + (unit && ` ${unit}`);
}

function showCharts() {
  const {ages, begins, charts} = frame.past;
  const span = Math.max(60, ages[0] || 0);
  at("charts-title").textContent = "Charts, while a page is open: of the last 5 minutes at most";
  at("charts").replaceChildren(...charts.map((one) => chart(one, ages, new Set(begins), span)));
}

function chart({name, unit, values}, ages, begins, span) {
  const known = values.filter((value) => value !== null);
  const least = Math.min(...known), most = Math.max(...known);
  // From nothing on, but where that would hide what changes.
  const bottom = unit !== "/s" && known.length && most - least < most / 4 && least < most ? least : 0;
  const top = known.length && most > bottom ? most : bottom + 1;
  const svg = drawn("svg", {viewBox: `0 0 ${LONG} ${TALL}`, preserveAspectRatio: "none", role: "img"});
  const told = known.length ? `at least ${inUnit(least, unit)}, at most ${inUnit(most, unit)}` : "nothing yet";
  svg.append(drawn("title", {}, `${name}: ${told}, within ${seconds(span)}`));
  let points = [];
  const end = () => {
    if (points.length === 1) points.push(points[0].replace(/^[^,]+/, (x) => Number(x) - 1));
    if (points.length) svg.append(drawn("polyline", {points: points.join(" ")}));
    points = [];
  };
  values.forEach((value, i) => {
    if (begins.has(i) || value === null) end();
    if (value === null) return;
    const x = LONG * (1 - ages[i] / span), y = TALL - 1 - (TALL - 2) * (value - bottom) / (top - bottom);
    points.push(`${x.toFixed(1)},${y.toFixed(1)}`);
  });
  end();
  return made("div", {class: "chart"},
    made("div", {class: "dim name", title: name}, name),
    made("b", {}, inUnit(values.length ? values[values.length - 1] : null, unit)),
    made("div", {class: "plot"}, svg,
      made("div", {class: "scale dim"}, made("span", {}, inUnit(top, unit)), made("span", {}, inUnit(bottom, unit)))),
    made("div", {class: "span dim"}, made("span", {}, `${seconds(span)} ago`), made("span", {}, "now")));
}
