// What the page asks the server: the models, and answers to pictures; with the token, if there is one.

const TOKEN = "dlcv-token"; // in this tab alone, until it is closed

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN)),
};

export async function models() {
  const response = await call("page/models.json");
  return response.json();
}

// Returns the answer to one picture: `values` of JSON, or a `picture` as a Blob; and the times.
export async function predict(model, version, file, wantsPicture) {
  const path = `v1/models/${encodeURIComponent(model)}/versions/${version}:predict`;
  const type = file.type.startsWith("image/") ? file.type : "image/unknown";
  const headers = { "content-type": type };
  headers.accept = wantsPicture ? "image/png, application/json" : "application/json";
  const start = performance.now();
  const response = await call(path, { method: "POST", body: file, headers });
  const body = await response.blob();
  const answer = { roundTrip: performance.now() - start, stages: stages(response), bytes: body.size };
  if (response.headers.get("content-type") === "image/png") {
    return { ...answer, picture: body };
  }
  const text = await body.text();
  return { ...answer, text, values: parse(text).predictions?.[0] };
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new ServerError(0, "The server does not answer.");
  }
  if (!response.ok) throw new ServerError(response.status, await message(response));
  return response;
}

async function message(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `${response.status} ${response.statusText}`;
  }
}

// TF Serving's JSON has NaN and Infinity, which JSON itself has not.
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(/(?<=[[,:]\s*)(NaN|-?Infinity)(?=\s*[\],}])/g, "null"));
  }
}

// Reads the header Server-Timing: "decode;dur=1.2, run;dur=3.4", in milliseconds.
function stages(response) {
  const header = response.headers.get("server-timing") ?? "";
  const found = header.matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Array.from(found, ([, name, took]) => [name, Number(took)]);
}
