// A page of any origin that has a running `dlcv serve --cors` answer a picture: all there is to it.

const LEAST_SCORE = 0.3;
let asked = 0; // pictures, so far
const [form, server, token, model, file, error, canvas, list] =
  ["form", "server", "token", "model", "file", "error", "canvas", "list"]
    .map((id) => document.getElementById(id));

// Calls the server; what it says of an error is thrown.
async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  const response = await fetch(server.value.replace(/\/$/, "") + path, { ...options, headers });
  if (response.ok) return response;
  const text = await response.text();
  let message = text || `HTTP status ${response.status}`;
  try {
    message = JSON.parse(text).error;
  } catch {
    // Not of the server, but of a proxy before it: as it stands.
  }
  throw new Error(message);
}

async function listModels() {
  const { models } = await (await call("/v1/models")).json();
  model.replaceChildren(...models.map(({ name }) => new Option(name, name)));
}

// Returns what a model answers to a picture file, by output; a picture or class map as a bitmap.
async function predict(name, picture) {
  const path = `/v1/models/${encodeURIComponent(name)}`;
  const { metadata } = await (await call(`${path}/metadata`)).json();
  const outputs = Object.keys(metadata.signature_def.signature_def.image_bytes.outputs);
  const type = picture.type.startsWith("image/") ? picture.type : "image/unknown";
  const png = outputs.find((output) => output.endsWith("_bytes"));
  const response = await call(`${path}:predict`, {
    method: "POST",
    headers: { "Content-Type": type, Accept: png ? "image/png" : "application/json" },
    body: picture, // as it is: neither base64 nor JSON
  });
  if (png) return { [png]: await createImageBitmap(await response.blob()) };
  const [prediction] = (await response.json()).predictions;
  return outputs.length === 1 ? { [outputs[0]]: prediction } : prediction;
}

function draw(picture, answer) {
  const pen = canvas.getContext("2d");
  canvas.width = picture.width;
  canvas.height = picture.height;
  pen.drawImage(answer.picture_bytes ?? picture, 0, 0, canvas.width, canvas.height);
  if (answer.class_map_bytes) drawMap(pen, answer.class_map_bytes);
  const lines = [];
  for (const [i, score] of (answer.scores ?? []).entries()) {
    if (score < LEAST_SCORE && answer.boxes) continue; // what fills the list up has score 0
    const colour = `hsl(${137 * answer.classes[i]} 85% 45%)`;
    lines.push([`${answer.labels[i]} ${Math.round(100 * score)} %`, colour]);
    if (!answer.boxes) continue;
    const [x1, y1, x2, y2] = answer.boxes[i];
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(2, canvas.width / 250);
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  list.replaceChildren(...lines.map(([text, colour]) => {
    const line = document.createElement("li");
    line.textContent = text;
    line.style.color = answer.boxes ? colour : "";
    return line;
  }));
}

// Lays a class map over the picture, each class in a colour of its own.
function drawMap(pen, map) {
  const layer = new OffscreenCanvas(map.width, map.height);
  const layerPen = layer.getContext("2d", { willReadFrequently: true });
  layerPen.drawImage(map, 0, 0);
  const pixels = layerPen.getImageData(0, 0, map.width, map.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const number = pixels.data[i]; // of the class: the file is grey
    const colour = [67, 151, 211].map((step) => (40 + step * number) % 256);
    pixels.data.set([...colour, 150], i);
  }
  layerPen.putImageData(pixels, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
}

async function attempt(action) {
  error.textContent = "";
  try {
    await action();
  } catch (caught) {
    // A server without --cors looks to the browser like none at all.
    error.textContent = caught instanceof TypeError
      ? "No answer: does the server run, and with --cors?" : caught.message;
  }
}

async function show() {
  const [picture] = file.files;
  if (!picture || !model.value) return;
  const number = ++asked;
  const answer = await predict(model.value, picture);
  const bitmap = await createImageBitmap(picture);
  if (number === asked) draw(bitmap, answer); // else something else was chosen meanwhile
}

for (const input of [server, token]) input.addEventListener("change", () => attempt(listModels));
for (const input of [model, file]) input.addEventListener("change", () => attempt(show));
form.addEventListener("submit", (event) => event.preventDefault());
attempt(listModels);
