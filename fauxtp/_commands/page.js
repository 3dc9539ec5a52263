// What all parts of the page share: the last frame, what is chosen, and how values are told.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const RECENT = 60; // seconds for which a crash is news
const at = (id) => document.getElementById(id);
let frame = null, received = 0, source = null, chosen = null, details = null, stateText = null;
let opened = new Set(), isTable = false, isPaused = false;

// Whatever a program tells is text, and never markup.
function made(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}
function drawn(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const number = (value) => value.toLocaleString("en");
function seconds(value) {
  if (value === 0) return "0 s";
  if (value < 60) return value < 10 ? `${value.toFixed(2)} s` : `${Math.round(value)} s`;
  const parts = [];
  let left = Math.floor(value);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}
const time = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
const called = (row) => [row.class, ...row.names.map((name) => `'${name}'`)].filter(Boolean).join(" ");
const slowness = (value) => value >= 10 ? "stuck" : value >= 1 ? "slow" : "";

async function asked(path, options) {
  const answer = await fetch(path, options);
  const text = await answer.text();
  let told;
  try { told = JSON.parse(text); } catch { told = {error: text}; }
  if (!answer.ok) throw new Error(told.error);
  return told;
}
