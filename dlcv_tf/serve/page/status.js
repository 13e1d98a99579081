// The table of all versions of all models, with what went wrong.

const DOTS = { AVAILABLE: "good", LOADING: "busy", START: "busy", UNLOADING: "busy", END: "bad" };
const STATES = { AVAILABLE: "serves", LOADING: "loads", START: "loads", UNLOADING: "ends", END: "refused" };

export function rows(models) {
  return models.flatMap((model) => {
    if (!model.versions.length) return [row([model.name, "", "", "", "", ""]), why(model.error)];
    return model.versions.flatMap((version, index) => {
      const made = row([
        index ? "" : model.name,
        version.number,
        state(version),
        labels(model, version.number),
        version.task ?? "",
        version.executor ?? "",
      ]);
      return version.error ? [made, why(version.error)] : [made];
    });
  });
}

export function dot(kind) {
  const made = document.createElement("span");
  made.className = `dot ${kind}`;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  cells.forEach((content, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (!index) cell.scope = "row";
    cell.append(content);
    made.append(cell);
  });
  return made;
}

function why(error) {
  const made = document.createElement("tr");
  made.className = "why";
  const cell = document.createElement("td");
  cell.colSpan = 6;
  cell.textContent = error;
  made.append(cell);
  return made;
}

function state(version) {
  const made = document.createElement("span");
  made.className = "state";
  const isOver = version.state === "END" && !version.error;
  made.append(dot(isOver ? "" : DOTS[version.state]), isOver ? "unloaded" : STATES[version.state]);
  return made;
}

function labels(model, number) {
  const made = document.createElement("span");
  for (const [name, of] of Object.entries(model.labels)) {
    if (String(of) !== number) continue;
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = name;
    made.append(label);
  }
  return made;
}
