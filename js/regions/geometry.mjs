// @ts-check
// Where shapes are, and what becomes of them when they are dragged. Points are in parts of the picture, 0 to 1.
import { corners, rounded } from './text.mjs'

/** @typedef {import('./text.mjs').Point} Point */
/** @typedef {import('./text.mjs').Shape} Shape */

export const LEAST = 0.01 // width and height of a rectangle

/** Whether a place is inside an outline: to its left, this passes an odd number of times.
 * @param {readonly Point[]} points @param {Point} place */
export function isInside(points, [x, y]) {
  let inside = false
  points.forEach(([x1, y1], index) => {
    const [x2, y2] = points[(index + 1) % points.length]
    if (y1 <= y !== y2 <= y && x1 + ((y - y1) * (x2 - x1)) / (y2 - y1) <= x) inside = !inside
  })
  return inside
}

/** The box around points: left, top, right, bottom.
 * @param {readonly Point[]} points @returns {[number, number, number, number]} */
export function around(points) {
  const xs = points.map(([x]) => x)
  const ys = points.map(([, y]) => y)
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
}

/** The rectangle between two places, no smaller than can be seen, with ends that text can say.
 * @param {Point} one @param {Point} other @returns {Point[]} */
export function rectangle(one, other) {
  const [left, right] = ends(one[0], other[0])
  const [top, bottom] = ends(one[1], other[1])
  return corners([left, top], [right, bottom])
}

/** @param {number} one @param {number} other */
function ends(one, other) {
  const low = Math.min(rounded(clamped(Math.min(one, other))), 1 - LEAST)
  return [low, Math.max(rounded(clamped(Math.max(one, other))), rounded(low + LEAST))]
}

/** @param {number} value */
export function clamped(value) {
  return Math.min(1, Math.max(0, value))
}

/** Points moved together, as far as the picture reaches.
 * @param {readonly Point[]} points @param {number} dx @param {number} dy @returns {Point[]} */
export function moved(points, dx, dy) {
  const [left, top, right, bottom] = around(points)
  const across = Math.min(Math.max(dx, -left), 1 - right)
  const down = Math.min(Math.max(dy, -top), 1 - bottom)
  return points.map(([x, y]) => [rounded(x + across), rounded(y + down)])
}

/** Where a shape can be held: the points of a polygon; the corners of a rectangle, and then the middles of its edges.
 * @param {Shape} shape @returns {Point[]} */
export function handles({ kind, points }) {
  if (kind === 'polygon') return points
  const middles = points.map(([x1, y1], index) => {
    const [x2, y2] = points[(index + 1) % 4]
    return /** @type {Point} */ ([(x1 + x2) / 2, (y1 + y2) / 2])
  })
  return [...points, ...middles]
}

/** The points of a shape whose handle is dragged to a place.
 * @param {Shape} shape @param {number} handle its number in `handles` @param {Point} place @returns {Point[]} */
export function reshaped({ kind, points }, handle, [x, y]) {
  const place = /** @type {Point} */ ([rounded(clamped(x)), rounded(clamped(y))])
  if (kind === 'polygon') return points.map((point, index) => (index === handle ? place : point))
  if (handle < 4) return rectangle(points[(handle + 2) % 4], place)
  const edge = handle - 4 // between the corners `edge` and `edge + 1`; the other two stay
  const isLevel = points[edge][1] === points[(edge + 1) % 4][1]
  const [far, near] = [points[(edge + 2) % 4], points[(edge + 3) % 4]]
  return rectangle(far, isLevel ? [near[0], place[1]] : [place[0], near[1]])
}

/** The number of the first of these points that is near a place; -1 where none is.
 * @param {readonly Point[]} points @param {Point} place @param {Point} reach how near, across and down */
export function nearest(points, [x, y], [across, down]) {
  return points.findIndex((point) => Math.hypot((point[0] - x) / across, (point[1] - y) / down) <= 1)
}
