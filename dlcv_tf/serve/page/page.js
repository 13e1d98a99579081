// The page: which model and which picture are chosen, and what is shown of the answer.

import * as api from "./api.js";
import { SHOW } from "./answers.js";
import { ordered } from "./samples.js";
import { dot, rows } from "./status.js";

const SOON = 1000; // milliseconds between two looks at the models, while some are being loaded
const LATER = 5000;
const PNG = 0x89504e47; // "\x89PNG"
const EXIF = 0x65584966; // "eXIf"
const METRICS = { accuracy: "accuracy", map50: "mAP at 0.5", miou: "mean IoU" };

const at = (id) => document.getElementById(id);
const view = { pictures: at("pictures"), controls: at("controls"), list: at("list") };
const chosen = { key: "", file: null, sample: "" };
let known = new Map(); // "name/version" to what that version can do
let shownModels = "";
let asked = 0; // requests so far: only the last one is shown
let timer = 0;

async function refresh() {
  clearTimeout(timer);
  let wait = LATER;
  try {
    const { models, ready, version } = await api.models();
    at("version").textContent = `dlcv_tf ${version}`;
    at("token-form").hidden = true;
    at("forget").hidden = !api.token.get();
    at("links").hidden = Boolean(api.token.get()); // a link cannot carry it
    const isLoading = models.some((m) => m.versions.some((v) => ["START", "LOADING"].includes(v.state)));
    if (isLoading || !ready) wait = SOON;
    showModels(models);
  } catch (error) {
    showTrouble(error);
    if (error.status === 401) return; // asked again with a token
  }
  timer = setTimeout(refresh, document.hidden ? 6 * wait : wait);
}

function showModels(models) {
  const text = JSON.stringify(models);
  if (text === shownModels) return;
  shownModels = text;
  known = new Map();
  for (const model of models) {
    const newest = model.versions.find((version) => version.state === "AVAILABLE");
    for (const version of model.versions) {
      if (version.state !== "AVAILABLE" || !version.kind) continue;
      const labels = Object.keys(model.labels).filter((l) => String(model.labels[l]) === version.number);
      known.set(`${model.name}/${version.number}`, {
        ...version, model: model.name, labels, isNewest: version === newest,
      });
    }
  }
  const serving = new Set(Array.from(known.values(), (one) => one.model)).size;
  const isGood = serving === models.length;
  say(isGood ? "good" : serving ? "busy" : "bad", `${serving} of ${models.length} models serve`);
  at("work").hidden = at("status").hidden = false;
  at("rows").replaceChildren(...rows(models));
  fillSelect();
}

function fillSelect() {
  const select = at("model");
  const options = Array.from(known, ([key, one]) => {
    const labels = one.labels.length ? ` (${one.labels.join(", ")})` : "";
    return new Option(one.isNewest ? `${one.model}${labels}` : `${one.model} / ${one.number}${labels}`, key);
  });
  if (!options.length) options.push(new Option("No model serves yet", ""));
  select.replaceChildren(...options);
  select.disabled = !known.size;
  const before = chosen.key;
  chosen.key = known.has(before) ? before : successor(before) ?? options[0].value;
  select.value = chosen.key;
  if (chosen.key !== before) chooseModel(before !== "");
}

// Where a version was replaced, its model's newest one is meant from now on.
function successor(key) {
  const name = key.slice(0, key.lastIndexOf("/"));
  for (const [other, one] of known) if (name && one.model === name && one.isNewest) return other;
  return undefined;
}

function chooseModel(asksAgain = true) {
  const one = known.get(chosen.key);
  at("about").textContent = one ? about(one) : "";
  showSamples(one?.classes ?? []);
  if (asksAgain && chosen.file) ask();
}

function about(one) {
  const parts = [one.task, `version ${one.number}`, `run by ${one.executor}`];
  if (one.size) parts.push(`pictures of ${one.size[1]} × ${one.size[0]}`);
  if (one.metric) {
    const name = METRICS[one.metric.name] ?? one.metric.name;
    parts.push(`${name} ${one.metric.value.toFixed(3)} on its test pictures`);
  }
  return parts.join(" · ");
}

function showSamples(classes) {
  const buttons = ordered(classes).map((sample) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.sample = sample.file;
    button.setAttribute("aria-pressed", String(chosen.sample === sample.file));
    const image = document.createElement("img");
    Object.assign(image, { src: `page/samples/${sample.file}.png`, alt: "", width: 96, height: 72 });
    button.append(image, sample.title);
    button.addEventListener("click", () => takeSample(sample.file));
    return button;
  });
  at("samples").replaceChildren(...buttons);
}

async function takeSample(name) {
  const response = await fetch(`page/samples/${name}.png`);
  take(await response.blob(), name);
}

function take(file, sample = "") {
  chosen.file = file;
  chosen.sample = sample;
  for (const button of at("samples").children) {
    button.setAttribute("aria-pressed", String(button.dataset.sample === sample));
  }
  ask();
}

async function ask() {
  const one = known.get(chosen.key);
  if (!one) return fail("No model serves yet.");
  if (one.kind === "none") return fail(`${one.model} takes no encoded pictures.`);
  const number = ++asked;
  at("result").classList.add("waiting");
  try {
    const wantsPicture = one.kind === "map" || one.kind === "picture";
    const [answer, bitmap] = await Promise.all([
      api.predict(one.model, one.number, chosen.file, wantsPicture),
      bitmapOf(chosen.file).catch(() => null), // of a format that the server alone reads
    ]);
    if (number === asked) await show(one, answer, bitmap);
  } catch (error) {
    if (number !== asked) return;
    fail(error.message);
    if (error.status === 401) showTrouble(error);
  } finally {
    if (number === asked) at("result").classList.remove("waiting");
  }
}

// As the server reads it, which turns a JPEG upright and no PNG: browsers turn both.
async function bitmapOf(file) {
  const view = new DataView(await file.arrayBuffer());
  if (view.byteLength < 8 || view.getUint32(0) !== PNG) return createImageBitmap(file);
  const kept = [file.slice(0, 8)];
  for (let start = 8, end = 8; start + 8 <= view.byteLength; start = end) {
    end = start + 12 + view.getUint32(start); // a chunk: length, name, data, checksum
    if (view.getUint32(start + 4) !== EXIF) kept.push(file.slice(start, end));
  }
  return createImageBitmap(new Blob(kept, { type: file.type }));
}

async function show(one, answer, bitmap) {
  for (const place of Object.values(view)) place.replaceChildren();
  at("empty").hidden = at("error").hidden = true;
  at("result").hidden = false;
  showTimes(answer);
  const raw = at("raw");
  raw.hidden = !answer.text;
  raw.querySelector("pre").textContent = answer.text?.slice(0, 20000) ?? "";
  await SHOW[one.kind](view, bitmap, answer, one);
}

function showTimes({ roundTrip, stages, bytes }) {
  const size = bytes < 1e4 ? `${bytes} bytes` : `${(bytes / 1e3).toFixed(0)} kB`;
  const entries = [["round trip", `${roundTrip.toFixed(1)} ms`]];
  entries.push(...stages.map(([name, took]) => [name, `${took.toFixed(1)} ms`]), ["answer", size]);
  const made = entries.map(([name, value]) => {
    const text = document.createElement("span");
    const strong = document.createElement("b");
    strong.textContent = value;
    text.append(`${name} `, strong);
    return text;
  });
  at("times").replaceChildren(...made);
}

function fail(text) {
  at("error").textContent = text;
  at("error").hidden = false;
  at("result").hidden = true;
  at("empty").hidden = true;
}

function showTrouble(error) {
  if (error.status !== 401) {
    shownModels = ""; // shown anew once it answers
    return say("bad", error.message);
  }
  const hadToken = Boolean(api.token.get());
  api.token.set("");
  say("busy", "A token is needed");
  at("work").hidden = at("status").hidden = at("forget").hidden = at("links").hidden = true;
  at("token-form").hidden = false;
  at("token-error").hidden = !hadToken;
  at("token-error").textContent = error.message;
  at("token").focus();
}

function say(kind, text) {
  at("server").replaceChildren(dot(kind), text);
}

function listen() {
  at("model").addEventListener("change", (event) => {
    chosen.key = event.target.value;
    chooseModel();
  });
  at("file").addEventListener("change", (event) => {
    if (event.target.files.length) take(event.target.files[0]);
    event.target.value = ""; // the same file may be chosen again
  });
  at("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.token.set(at("token").value.trim());
    at("token").value = "";
    shownModels = "";
    refresh();
  });
  at("forget").addEventListener("click", () => {
    api.token.set("");
    location.reload();
  });
  const drops = (is) => document.body.classList.toggle("dropping", is);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drops(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? drops(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drops(false);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = Array.from(event.clipboardData?.files ?? []).find((f) => f.type.startsWith("image/"));
    if (file) take(file);
  });
  addEventListener("visibilitychange", () => document.hidden || refresh());
}

listen();
refresh();
