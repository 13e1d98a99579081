// Shows an answer as its kind wants it. Each function gets `view` (pictures, controls, list: the
// places to fill), the picture that was sent, the answer, and what the model can do.

import { Stage, colour, grey } from "./drawing.js";

const LEAST = 0.3; // score from which on boxes and joints are shown at first
const MOST_NAMED = 24; // joints and classes listed at once

export const SHOW = { classes, place, joints, boxes, map, picture, values };

function classes(view, bitmap, { values }, { classes: names }) {
  stage(view, bitmap, "", `The picture: ${names[values.classes[0]]}`);
  bars(view, values, names);
}

function place(view, bitmap, { values }, { classes: names }) {
  const name = names[values.classes[0]];
  const drawn = stage(view, bitmap, "", `The picture with a box around the ${name}`);
  drawn?.box(values.box, colour(values.classes[0]));
  drawn?.tag(values.box, `${name} ${percent(values.scores[0])}`, colour(values.classes[0]));
  bars(view, values, names);
}

function boxes(view, bitmap, { values }, { classes: names }) {
  const found = values.scores.slice(0, values.num_detections).map((score, index) => ({
    score,
    box: values.boxes[index],
    number: values.classes[index],
    mask: values.masks?.[index],
    joints: values.joints?.[index],
  }));
  const drawn = stage(view, bitmap, "", "The picture with boxes around what was found");
  let strong = null;
  const redraw = (least) => {
    const shown = found.filter((one) => one.score >= least);
    drawn?.clear();
    const behind = [...shown].reverse(); // the best on top
    for (const one of behind) if (one.mask) drawn?.mask(one.mask, one.box, colour(one.number));
    for (const one of behind) drawn?.box(one.box, colour(one.number), strong === one.number);
    for (const one of behind) if (one.joints) drawn?.joints(one.joints, least);
    for (const one of shown) {
      drawn?.tag(one.box, `${names[one.number]} ${percent(one.score)}`, colour(one.number));
    }
    counts(shown);
  };
  const counts = (shown) => {
    const entries = names
      .map((name, number) => ({ name, number, of: shown.filter((one) => one.number === number) }))
      .filter((entry) => entry.of.length)
      .sort((one, other) => other.of.length - one.of.length);
    const text = entries.map((entry) => `${entry.of.length} ${entry.name}`).join(", ");
    drawn?.describe(text ? `The picture with boxes: ${text}` : "The picture; nothing was found");
    things(
      view,
      entries.map((entry) => ({
        text: entry.name,
        score: `${entry.of.length} × up to ${percent(entry.of[0].score)}`,
        tint: colour(entry.number),
      })),
      `Nothing with a score of ${percent(slider.value())} or more.`,
    );
  };
  const slider = control(view, "Least score", LEAST, redraw);
  redraw(LEAST);
}

function joints(view, bitmap, { values }, { classes: names }) {
  const drawn = stage(view, bitmap, "", "The picture with the joints that were found");
  const list = Array.isArray(values) ? values : values.joints;
  const redraw = (least) => {
    drawn?.clear();
    drawn?.joints(list, least);
    const seen = list.map((joint, index) => [names[index], joint[2]]).filter((one) => one[1] >= least);
    const entries = seen.slice(0, MOST_NAMED).map(([text, score]) => ({ text, score: percent(score) }));
    things(view, entries, `No joint with a score of ${percent(least)} or more.`);
  };
  control(view, "Least score", LEAST, redraw);
  redraw(LEAST);
}

async function map(view, bitmap, { picture: file }, { classes: names }) {
  // As the file has it: browsers must not fit its greys to the screen.
  const answered = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const numbers = grey(answered);
  const counted = new Array(256).fill(0);
  numbers.forEach((number) => counted[number]++);
  const present = counted
    .map((count, number) => ({ number, share: count / numbers.length }))
    .filter((one) => one.share > 0)
    .sort((one, other) => other.share - one.share);
  const tints = names.map((_, number) => colour(number));
  const text = present.map((one) => `${names[one.number]} ${percent(one.share)}`).join(", ");
  const drawn = stage(view, bitmap ?? answered, "", `The picture with its class map: ${text}`);
  let only = null;
  const redraw = () => {
    drawn.clear();
    drawn.map(numbers, answered.width, answered.height, tints, opacity.value(), only);
  };
  const opacity = control(view, "Opacity", 0.55, redraw);
  const entries = present.map((one) => ({
    text: names[one.number] ?? `class ${one.number}`,
    score: percent(one.share),
    tint: tints[one.number] ?? "#ffffff",
    press: (isOn) => {
      only = isOn ? one.number : null;
      redraw();
    },
  }));
  things(view, entries, "");
  pointAt(drawn, (x, y) => names[numbers[Math.floor(y * answered.height) * answered.width +
    Math.floor(x * answered.width)]]);
  redraw();
}

async function picture(view, bitmap, { picture: file, ...rest }, abilities) {
  if (!file) return values(view, bitmap, rest, abilities);
  const answered = await createImageBitmap(file);
  stage(view, bitmap, "Given", "The picture that was sent");
  stage(view, answered, "Answered", "The picture that was answered");
}

function values(view, bitmap) {
  stage(view, bitmap, "", "The picture that was sent");
  const text = document.createElement("p");
  text.className = "none";
  text.textContent = "This page has no drawing for answers of this kind: it is below, as it came.";
  view.list.replaceChildren(text);
}

function stage(view, bitmap, caption, description) {
  if (!bitmap) {
    const text = document.createElement("p");
    text.className = "none";
    text.textContent = "This browser cannot show a picture of this format; the server could read it.";
    view.pictures.append(text);
    return null;
  }
  const made = new Stage(bitmap, caption, description);
  view.pictures.append(made.element);
  return made;
}

function bars(view, values, names) {
  const list = document.createElement("ul");
  list.className = "bars";
  values.classes.forEach((number, index) => {
    const row = document.createElement("li");
    const bar = element("div", "bar");
    const part = document.createElement("span");
    part.style.width = `${100 * values.scores[index]}%`;
    bar.append(part);
    const name = values.labels?.[index] ?? names[number];
    row.append(element("span", "name", name), element("span", "score", percent(values.scores[index])));
    row.append(bar);
    list.append(row);
  });
  view.list.replaceChildren(list);
}

function things(view, entries, otherwise) {
  if (!entries.length) {
    view.list.replaceChildren(element("p", "none", otherwise));
    return;
  }
  const list = element("ul", "things");
  for (const { text, score, tint, press } of entries) {
    const inside = document.createElement(press ? "button" : "span");
    if (press) {
      inside.type = "button";
      inside.title = "Show this class alone";
      inside.setAttribute("aria-pressed", "false");
      inside.addEventListener("click", () => {
        const isOn = inside.getAttribute("aria-pressed") === "false";
        for (const one of list.querySelectorAll("button")) one.setAttribute("aria-pressed", "false");
        inside.setAttribute("aria-pressed", String(isOn));
        press(isOn);
      });
    }
    if (tint) {
      const swatch = element("span", "swatch");
      swatch.style.background = tint;
      inside.append(swatch);
    }
    inside.append(element("span", "", text), element("span", "score", score));
    const row = document.createElement("li");
    row.append(inside);
    list.append(row);
  }
  view.list.replaceChildren(list);
}

function control(view, name, value, change) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: "0", max: "1", step: "0.01", value: String(value) });
  const shown = document.createElement("output");
  shown.textContent = percent(value);
  input.addEventListener("input", () => {
    shown.textContent = percent(Number(input.value));
    change(Number(input.value));
  });
  label.append(name, input, shown);
  view.controls.append(label);
  return { value: () => Number(input.value) };
}

// Says what is under the pointer; x and y are parts of the sides.
function pointAt(drawn, name) {
  const tip = element("span", "tip");
  tip.hidden = true;
  drawn.frame.append(tip);
  drawn.canvas.addEventListener("pointermove", (event) => {
    const area = drawn.canvas.getBoundingClientRect();
    const text = name((event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
    tip.hidden = !text;
    tip.textContent = text ?? "";
  });
  drawn.canvas.addEventListener("pointerleave", () => (tip.hidden = true));
}

function element(kind, name, text = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

function percent(part) {
  return `${(100 * part).toFixed(part > 0 && part < 0.095 ? 1 : 0)} %`;
}
