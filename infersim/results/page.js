"use strict";
// Draws the charts, paints them in the page's colours (light, dark, paper) and makes them work from the keyboard.
const page = document.documentElement;
const paper = matchMedia("print");
const dark = matchMedia("(prefers-color-scheme: dark)");
const LIGHT = {ink: "#1f2328", soft: "#6a7078", line: "#e3e4e6", card: "#ffffff", pale: "#d3d5d8"};
const DARK = {ink: "#e8eaed", soft: "#9aa2ac", line: "#31363e", card: "#1c2026", pale: "#555c66"};
const INK = "#333333", SOFT = "#8c8c8c", PALE = "#D9D9D9";  // what charts.py wrote for ink, soft ink and pale areas
const painted = new Map();  // what each visual was before it was painted

function theme() {
  return page.dataset.theme ?? (dark.matches ? "dark" : "light");
}

function colour(model, name, from) {
  const key = model.id + "." + name;
  if (!painted.has(key)) painted.set(key, model[name]?.value ?? model[name]);
  const before = painted.get(key);
  const now = {[INK]: from.ink, [SOFT]: from.soft, [PALE]: from.pale}[before];
  if (now !== undefined) model[name] = now;
}

function paint(colours) {
  const roots = Bokeh.documents.flatMap((document) => document.roots());
  for (const root of roots) {
    for (const model of root.references()) {
      if (model.type === "Grid") model.grid_line_color = colours.line;
      if (model.type?.endsWith("Axis")) {
        model.setv({axis_label_text_color: colours.soft, major_label_text_color: colours.ink,
          axis_line_color: colours.line, major_tick_line_color: colours.line,
          axis_label_text_font_style: "normal", major_label_text_font_size: "12px", axis_label_text_font_size: "12px"});
      }
      if (model.type === "Legend") {
        model.setv({label_text_color: colours.ink, background_fill_color: null, border_line_color: null,
          label_text_font_size: "12px", glyph_height: 12, glyph_width: 12, spacing: 12});
      }
      if (model.type === "ColorBar") {
        model.setv({major_label_text_color: colours.ink, title_text_color: colours.ink, background_fill_color: null,
          title_text_font_style: "normal"});
      }
      for (const name of ["line_color", "fill_color", "text_color"]) {
        if (name in model.properties) colour(model, name, colours);
      }
    }
  }
}

function repaint() {
  paint(paper.matches ? LIGHT : theme() === "dark" ? DARK : LIGHT);
}

function keys(element, figure) {
  element.addEventListener("keydown", (event) => {
    const range = figure.x_range, [low, high] = range.bounds ?? [range.start, range.end];
    const wide = range.end - range.start, step = wide / 10;
    let start = range.start, end = range.end;
    if (event.key === "ArrowRight") [start, end] = [start + step, end + step];
    else if (event.key === "ArrowLeft") [start, end] = [start - step, end - step];
    else if (event.key === "+" || event.key === "=") [start, end] = [start + step, end - step];
    else if (event.key === "-") [start, end] = [start - step, end + step];
    else if (event.key === "0" || event.key === "Escape") [start, end] = [low, high];
    else return;
    event.preventDefault();
    if (start < low) [start, end] = [low, Math.min(high, event.key === "-" ? end : low + wide)];
    if (end > high) [start, end] = [Math.max(low, event.key === "-" ? start : high - wide), high];
    range.setv({start, end});
  });
}

async function draw() {
  const {documents, places} = JSON.parse(document.getElementById("charts").textContent);
  const roots = Object.fromEntries(places.map(({root, place}) => [root, place]));
  await Bokeh.embed.embed_items(documents, [{docid: Object.keys(documents)[0], roots, root_ids: Object.keys(roots)}]);
  const drawn = Bokeh.documents.flatMap((one) => one.roots());
  for (const {root, place, zooms} of places) {
    if (zooms) keys(document.getElementById(place), drawn.find((model) => model.id === root));
  }
  for (const button of document.querySelectorAll(".whole")) {
    button.addEventListener("click", () => {
      for (const {root, zooms} of places) {
        const range = drawn.find((model) => model.id === root).x_range;
        if (zooms && range.bounds) range.setv({start: range.bounds[0], end: range.bounds[1]});
      }
    });
  }
  repaint();
  for (const change of [dark, paper]) change.addEventListener("change", repaint);
  page.dataset.drawn = "yes";
}

const button = document.getElementById("theme");
button.addEventListener("click", () => {
  page.dataset.theme = theme() === "dark" ? "light" : "dark";
  repaint();
});
document.addEventListener("DOMContentLoaded", draw);
