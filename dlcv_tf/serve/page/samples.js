// The sample pictures, drawn by tools/draw_samples.py, and what can be found in each: the names by
// which the page puts those first that a model knows something of.

export const SAMPLES = [
  { file: "cells", title: "Blood cells", shows: ["RBC", "WBC", "Platelets", "cell"] },
  { file: "street", title: "Street", shows: ["road", "car", "building", "sky", "tree", "person"] },
  { file: "ship", title: "Ship", shows: ["ship", "boat"] },
  { file: "digit", title: "Digit", shows: ["3"] },
  { file: "shapes", title: "Shapes", shows: ["star", "square", "triangle", "cross", "circle"] },
  { file: "figure", title: "Figure", shows: ["head top", "neck", "left knee", "right knee"] },
];

export function ordered(classes) {
  const known = new Set(classes);
  const fits = (sample) => sample.shows.some((name) => known.has(name));
  return [...SAMPLES].sort((one, other) => fits(other) - fits(one));
}
