// Draws pictures on canvases, and what was found in them on top.

// Far apart from each other on photographs, and the first ones for every kind of colour vision.
const COLOURS = [
  "#2f7fff", "#ff7a1a", "#12b886", "#b05cff", "#f2c400", "#e8338b", "#00b8d9", "#8bc34a",
  "#e53935", "#5e6ad2", "#c08457", "#78909c", "#0f9d76", "#ff9eb5", "#6b8e23", "#9fd3ff",
];
const SMALLEST = 640; // pixels of the longer side of a canvas, so that lines and texts are sharp
const LARGEST = 1600;

// Bones between joints of Leeds Sports Pose (14) and COCO (17): the person's right, left, middle.
const BONES = {
  14: [
    ["#2f7fff", [[0, 1], [1, 2], [2, 8], [6, 7], [7, 8], [8, 12]]],
    ["#ff7a1a", [[5, 4], [4, 3], [3, 9], [11, 10], [10, 9], [9, 12]]],
    ["#f2c400", [[12, 13], [2, 3]]],
  ],
  17: [
    ["#2f7fff", [[16, 14], [14, 12], [12, 6], [10, 8], [8, 6], [0, 2], [2, 4]]],
    ["#ff7a1a", [[15, 13], [13, 11], [11, 5], [9, 7], [7, 5], [0, 1], [1, 3]]],
    ["#f2c400", [[5, 6], [11, 12]]],
  ],
};

export function colour(number) {
  return COLOURS[number % COLOURS.length];
}

// A canvas that shows a picture, small ones enlarged with their pixels as squares.
export class Stage {
  constructor(bitmap, caption, description) {
    this.bitmap = bitmap;
    const longer = Math.max(bitmap.width, bitmap.height);
    const side = Math.min(Math.max(longer, SMALLEST), LARGEST);
    this.scale = side / longer;
    this.canvas = document.createElement("canvas");
    this.canvas.width = Math.max(1, Math.round(bitmap.width * this.scale));
    this.canvas.height = Math.max(1, Math.round(bitmap.height * this.scale));
    this.canvas.setAttribute("role", "img");
    this.pen = this.canvas.getContext("2d");
    this.frame = document.createElement("div");
    this.frame.className = "stage";
    this.frame.append(this.canvas);
    this.element = document.createElement("figure");
    this.element.append(this.frame);
    if (caption) {
      const text = document.createElement("figcaption");
      text.textContent = caption;
      this.element.append(text);
    }
    this.describe(description);
    this.clear();
  }

  describe(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  clear() {
    this.pen.imageSmoothingEnabled = this.scale < 3;
    this.pen.imageSmoothingQuality = "high";
    this.pen.drawImage(this.bitmap, 0, 0, this.canvas.width, this.canvas.height);
    this.taken = [];
  }

  // Pixels of the canvas to the pixels of a page 640 wide, so that texts are as large anywhere.
  get unit() {
    return Math.max(1, this.canvas.width / 640);
  }

  box(box, tint, isStrong) {
    const [x1, y1, x2, y2] = box.map((value) => value * this.scale);
    this.pen.lineJoin = "round";
    for (const [ink, width] of [["#ffffffb0", 5], [tint, isStrong ? 4.5 : 2.6]]) {
      this.pen.strokeStyle = ink;
      this.pen.lineWidth = width * this.unit;
      this.pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  }

  // Writes a name at a box where it covers no other name; left out where there is no room.
  tag(box, text, tint) {
    const [x1, y1, x2, y2] = box.map((value) => value * this.scale);
    const size = 14 * this.unit;
    this.pen.font = `600 ${size}px system-ui, sans-serif`;
    const wide = this.pen.measureText(text).width + size * 0.7;
    const tall = size * 1.45;
    const places = [[x1, y1 - tall], [x1, y2], [x1, y1], [x2 - wide, y1 - tall], [x2 - wide, y2]];
    for (const [left, top] of places) {
      const x = Math.min(Math.max(left, 0), Math.max(0, this.canvas.width - wide));
      const isInside = top >= 0 && top + tall <= this.canvas.height;
      const isFree = this.taken.every(
        (other) => x >= other[0] + other[2] || x + wide <= other[0] || top >= other[1] + tall ||
          top + tall <= other[1],
      );
      if (!isInside || !isFree) continue;
      this.taken.push([x, top, wide]);
      this.pen.fillStyle = tint;
      this.pen.beginPath();
      this.pen.roundRect(x, top, wide, tall, size * 0.3);
      this.pen.fill();
      this.pen.fillStyle = isLight(tint) ? "#18202b" : "#ffffff";
      this.pen.textBaseline = "middle";
      this.pen.fillText(text, x + size * 0.35, top + tall * 0.53);
      return;
    }
  }

  joints(joints, least) {
    const seen = joints.map(([x, y, score]) => score >= least && [x * this.scale, y * this.scale]);
    this.pen.lineCap = "round";
    for (const [tint, bones] of BONES[joints.length] ?? []) {
      for (const [start, end] of bones) {
        if (!seen[start] || !seen[end]) continue;
        for (const [ink, width] of [["#ffffffb0", 7], [tint, 4]]) {
          this.pen.strokeStyle = ink;
          this.pen.lineWidth = width * this.unit;
          this.pen.beginPath();
          this.pen.moveTo(...seen[start]);
          this.pen.lineTo(...seen[end]);
          this.pen.stroke();
        }
      }
    }
    for (const place of seen.filter(Boolean)) {
      this.pen.beginPath();
      this.pen.arc(...place, 4.5 * this.unit, 0, 2 * Math.PI);
      this.pen.fillStyle = "#ffffff";
      this.pen.strokeStyle = "#18202b";
      this.pen.lineWidth = 1.6 * this.unit;
      this.pen.fill();
      this.pen.stroke();
    }
  }

  // Tints where a mask in a box is at least one half: `artifact.masks.paste` at a canvas's pixels.
  mask(mask, box, tint) {
    const [x1, y1, x2, y2] = box.map((value) => value * this.scale);
    if (!(x2 > x1 && y2 > y1)) return;
    const left = Math.max(0, Math.floor(x1));
    const top = Math.max(0, Math.floor(y1));
    const wide = Math.min(this.canvas.width, Math.ceil(x2)) - left;
    const tall = Math.min(this.canvas.height, Math.ceil(y2)) - top;
    if (wide < 1 || tall < 1) return;
    const layer = new ImageData(wide, tall);
    const [red, green, blue] = channels(tint);
    const rows = mask.length;
    const columns = mask[0].length;
    const cell = (row, column) => mask[row]?.[column] ?? 0;
    for (let y = 0; y < tall; y++) {
      const v = ((top + y + 0.5 - y1) / (y2 - y1)) * rows - 0.5;
      const row = Math.floor(v);
      for (let x = 0; x < wide; x++) {
        const u = ((left + x + 0.5 - x1) / (x2 - x1)) * columns - 0.5;
        const column = Math.floor(u);
        const upper = cell(row, column) * (column + 1 - u) + cell(row, column + 1) * (u - column);
        const lower =
          cell(row + 1, column) * (column + 1 - u) + cell(row + 1, column + 1) * (u - column);
        if (upper * (row + 1 - v) + lower * (v - row) >= 0.5) {
          layer.data.set([red, green, blue, 115], 4 * (y * wide + x));
        }
      }
    }
    this.layer(layer, left, top, wide, tall);
  }

  // Lays a class map over the picture: `numbers` of its own size, each painted in a colour.
  map(numbers, width, height, tints, opacity, only) {
    const layer = new ImageData(width, height);
    const table = tints.map(channels);
    numbers.forEach((number, index) => {
      const isShown = only === null || only === number;
      const [red, green, blue] = table[number] ?? [255, 255, 255];
      layer.data.set([red, green, blue, isShown ? Math.round(255 * opacity) : 0], 4 * index);
    });
    this.layer(layer, 0, 0, this.canvas.width, this.canvas.height);
  }

  layer(data, left, top, wide, tall) {
    const canvas = new OffscreenCanvas(data.width, data.height);
    canvas.getContext("2d").putImageData(data, 0, 0);
    this.pen.imageSmoothingEnabled = false;
    this.pen.drawImage(canvas, left, top, wide, tall);
  }
}

// Returns the first channel of a bitmap: what a grey PNG file holds.
export function grey(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const data = pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  return Uint8Array.from({ length: data.length / 4 }, (_, index) => data[4 * index]);
}

function channels(tint) {
  return [1, 3, 5].map((start) => parseInt(tint.slice(start, start + 2), 16));
}

function isLight(tint) {
  const [red, green, blue] = channels(tint);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}
