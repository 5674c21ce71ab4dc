// Commands of robot.toml in, a small robot on a canvas that carries them out.

const AXES = {
  left: ["x", -1],
  right: ["x", 1],
  forward: ["y", 1],
  backward: ["y", -1],
  up: ["z", 1],
  down: ["z", -1],
};
const SEEN = 8; // visible cells of the floor on each side; beyond, the floor scrolls
const ROOM = { x: [-Infinity, Infinity], y: [-Infinity, Infinity], z: [0, 8] }; // allowed positions
const NAMES = { x: ["to the left", "to the right"], y: ["backward", "forward"], z: ["down", "up"] };
const CELL_S = 0.18; // time per cell
const START = { x: 0, y: 0, z: 0 };

export class RobotView {
  #canvas;
  #reducedMotion;
  #place = { ...START };
  #centre = { ...START }; // of the visible floor
  #goal = { ...START }; // where all commands lead
  #steps = []; // remaining positions, one cell apart
  #path = [START]; // of the last command, so that its cells can be counted
  #faces = "backward"; // towards the viewer
  #bumped = false;
  #drawnAt = 0;
  #frame = 0;

  /** @param options `reducedMotion`: jump to the goal instead of travelling */
  constructor(canvas, { reducedMotion = false } = {}) {
    this.#canvas = canvas;
    this.#reducedMotion = reducedMotion;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Carry out a command after the earlier ones; ignore one of another grammar. */
  run({ slots, values }) {
    const [axis, sign] = AXES[slots.direction] ?? [];
    const cells = Number(values.number);
    if (!axis || !(cells >= 0)) return;
    this.#faces = slots.direction;
    this.#path = [this.#goal];
    this.#bumped = false;
    for (let cell = 0; cell < cells; cell++) {
      const [least, most] = ROOM[axis];
      const next = this.#goal[axis] + sign;
      this.#bumped = next < least || next > most;
      if (this.#bumped) break;
      this.#goal = { ...this.#goal, [axis]: next };
      this.#steps.push(this.#goal);
      this.#path.push(this.#goal);
    }
    this.#go();
  }

  /** Stop at the next cell, and drop the remaining steps. */
  stop() {
    this.#steps.splice(1);
    this.#goal = this.#steps[0] ?? this.#goal;
    const last = this.#path.indexOf(this.#goal);
    this.#path = last < 0 ? [this.#goal] : this.#path.slice(0, last + 1);
    this.#go();
  }

  /** Jump back to the start. */
  reset() {
    this.#steps = [];
    this.#place = this.#goal = { ...START };
    this.#centre = { ...START };
    this.#path = [START];
    this.#faces = "backward";
    this.#bumped = false;
    this.#draw();
  }

  /** Its position, or where it will be in a moment, for screen readers. */
  describe() {
    const parts = Object.keys(ROOM)
      .filter((axis) => this.#goal[axis])
      .map((axis) => `${Math.abs(this.#goal[axis])} ${NAMES[axis][this.#goal[axis] > 0 ? 1 : 0]}`);
    const place = parts.length ? `${listed(parts)} from its start` : "at its start";
    return `The robot is ${place}${this.#bumped ? " and cannot go further that way" : ""}.`;
  }

  #go() {
    if (this.#reducedMotion) {
      this.#steps = [];
      this.#place = { ...this.#goal };
      this.#draw();
    } else if (!this.#frame) {
      this.#drawnAt = performance.now();
      this.#frame = requestAnimationFrame((at) => this.#travel(at));
    }
  }

  #travel(at) {
    let cells = Math.max(0, at - this.#drawnAt) / 1000 / CELL_S;
    this.#drawnAt = at;
    while (cells > 0 && this.#steps.length) {
      const [next] = this.#steps;
      const axis = Object.keys(ROOM).find((each) => this.#place[each] !== next[each]);
      const left = axis ? next[axis] - this.#place[axis] : 0;
      const step = Math.min(cells, Math.abs(left));
      cells -= step;
      this.#place = { ...this.#place };
      if (step >= Math.abs(left)) this.#place = { ...this.#steps.shift() };
      else this.#place[axis] += step * Math.sign(left);
    }
    this.#draw();
    this.#frame = this.#steps.length ? requestAnimationFrame((next) => this.#travel(next)) : 0;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== pixels[0] || this.#canvas.height !== pixels[1]) {
      [this.#canvas.width, this.#canvas.height] = pixels;
    }
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    for (const axis of ["x", "y"]) {
      const place = this.#place[axis];
      this.#centre[axis] = Math.min(Math.max(this.#centre[axis], place - SEEN), place + SEEN);
    }
    const view = viewOf(width, height, this.#centre);
    drawFloor(pen, view, this.#centre, colour("line"));
    this.#drawPath(pen, view, colour("accent"));
    this.#drawRobot(pen, view, colour);
  }

  /** The path of the last command, with a dot for each cell. */
  #drawPath(pen, view, colour) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 2;
    pen.globalAlpha = 0.7;
    pen.beginPath();
    for (const place of this.#path) pen.lineTo(...view.at(place));
    pen.stroke();
    pen.globalAlpha = 1;
    for (const place of this.#path) {
      pen.beginPath();
      pen.arc(...view.at(place), place === this.#path[0] ? 2 : 3.5, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  #drawRobot(pen, view, colour) {
    const place = this.#place;
    const [x, y] = view.at(place);
    const [shadowX, shadowY] = view.at({ ...place, z: 0 });
    const size = view.cell * view.near(place.y) * 1.7;
    pen.globalAlpha = 0.3;
    pen.fillStyle = "#000";
    ellipse(pen, shadowX, shadowY, 0.5 * size, 0.17 * size);
    pen.globalAlpha = 0.5;
    pen.fillStyle = pen.strokeStyle = colour("ink");
    pen.lineWidth = 1;
    pen.setLineDash([2, 3]);
    line(pen, shadowX, shadowY, x, y);
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    pen.lineWidth = Math.max(1.5, 0.07 * size);
    line(pen, x, y - 0.85 * size, x, y - 1.15 * size);
    ellipse(pen, x, y - 1.2 * size, 0.09 * size, 0.09 * size);
    pen.fillStyle = colour("accent");
    pen.beginPath();
    pen.roundRect(x - 0.5 * size, y - 0.9 * size, size, 0.85 * size, 0.26 * size);
    pen.fill();
    if (this.#faces === "forward") return; // seen from behind
    const [axis, sign] = AXES[this.#faces];
    const eyesX = x + (axis === "x" ? 0.16 * sign * size : 0);
    const eyesY = y - 0.5 * size - (axis === "z" ? 0.12 * sign * size : 0);
    pen.fillStyle = colour("on-accent");
    for (const side of [-1, 1]) ellipse(pen, eyesX + 0.17 * side * size, eyesY, 0.085 * size, 0.13 * size);
  }
}

/** Maps positions to pixels: the floor seen from the front and above, distant parts a little smaller. */
function viewOf(width, height, centre) {
  const cell = Math.min(width / 20, height / 12.5);
  const floor = height - 4.6 * cell;
  const near = (y) => 1 - 0.018 * (y - centre.y);
  const at = ({ x, y, z }) => [
    width / 2 + (x - centre.x) * cell * near(y),
    floor - 0.42 * (y - centre.y) * cell - 0.5 * z * cell,
  ];
  return { cell, near, at };
}

function drawFloor(pen, view, centre, colour) {
  const [left, right, front, back] = [centre.x - SEEN, centre.x + SEEN, centre.y - SEEN, centre.y + SEEN];
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  for (let x = Math.ceil(left); x <= right; x++) {
    line(pen, ...view.at({ x, y: front, z: 0 }), ...view.at({ x, y: back, z: 0 }));
  }
  for (let y = Math.ceil(front); y <= back; y++) {
    line(pen, ...view.at({ x: left, y, z: 0 }), ...view.at({ x: right, y, z: 0 }));
  }
}

function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

function ellipse(pen, x, y, width, height) {
  pen.beginPath();
  pen.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
  pen.fill();
}

function listed(parts) {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
