// Building blocks. Texts from outside only ever become text nodes: nothing in an alert can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function make(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// What is said where there is nothing to show.
export function nothing(text, hint) {
  return make("p", { class: "nothing" }, text, hint ? make("span", {}, hint) : null);
}

// A state: a sign, a word and a colour, so that no one of them is needed to understand it.
export function state(word, tone, sign) {
  return make("span", { class: "state", "data-tone": tone }, make("i", { "aria-hidden": "true" }, sign), word);
}

// Columns: {head, cell, class, title}. A row's cells are labelled for narrow screens, where they stack.
export function table(columns, rows, attributes = {}, rowAttributes = () => ({})) {
  const heads = columns.map((column) => make("th", { class: column.class, scope: "col", title: column.title }, column.head));
  const body = rows.map((row, index) =>
    make("tr", rowAttributes(row, index), columns.map((column) =>
      make("td", { class: column.class, "data-label": column.head }, column.cell(row, index)))));
  return make("div", { class: "scroll" },
    make("table", attributes, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, body)));
}

// Pictures keep their node, so that a new rendering does not load them again.
const pictures = new Map();

export function picture(address, label, size) {
  const key = `${address} ${size}`;
  let node = pictures.get(key);
  if (!node) {
    node = make("img", { src: address, alt: label, width: size, height: size, class: "cutout" });
    node.addEventListener("error", () => node.replaceWith(noPicture(size)));
    pictures.set(key, node);
    if (pictures.size > 400) pictures.delete(pictures.keys().next().value);
  }
  return node;
}

export function noPicture(size) {
  const node = make("span", { class: "cutout absent", title: "no cut-out" }, "no image");
  node.style.width = node.style.height = `${size}px`;
  return node;
}

// Renders into a place only when what it shows has changed: what a person has selected or scrolled stays.
const shown = new Map();

export function renderInto(place, key, render) {
  const text = JSON.stringify(key);
  if (shown.get(place) === text) return;
  shown.set(place, text);
  const scrolled = [...place.querySelectorAll(".scroll")].map((node) => [node.scrollLeft, node.scrollTop]);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  place.replaceChildren(...[render()].flat().filter(Boolean));
  [...place.querySelectorAll(".scroll")].forEach((node, index) => {
    if (scrolled[index]) [node.scrollLeft, node.scrollTop] = scrolled[index];
  });
  if (focused) place.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
