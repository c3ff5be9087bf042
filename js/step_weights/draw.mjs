// @ts-check
// Draw curves over sampling: those of other pictures faintly, the chosen one with its points.
import { COLOURS, FONT, drawLines, heightOf } from '../lib/plot.mjs'
import { outline } from './shown.mjs'

/** @typedef {import('./curves.mjs').Course} Course */
/** @typedef {import('../lib/plot.mjs').Box} Box */
/** @typedef {import('../lib/plot.mjs').Range} Range */

const POINT = 4.5 // its radius

/** @param {number} width @param {number} height @returns {Box} */
export function boxOf(width, height) {
  return { left: 24, top: 8, right: width - 10, bottom: height - 18 }
}

/** @param {number} progress @param {Box} box */
export function xOf(progress, { left, right }) {
  return left + progress * (right - left)
}

/** @param {number} x @param {Box} box */
export function progressAt(x, { left, right }) {
  return Math.min(Math.max((x - left) / (right - left), 0), 1)
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{courses: readonly Course[], picture: number, point: number | undefined, pointed: number | undefined,
 *   range: Range, box: Box, ink: string, hasPoints: boolean}} what picture: the number of the chosen course;
 *   pointed: the point of sampling that is pointed at
 */
export function drawCurves(context, { courses, picture, point, pointed, range, box, ink, hasPoints }) {
  drawLines(context, ink, range, box)
  drawSteps(context, ink, box)
  context.lineJoin = 'round'
  for (const [number, course] of courses.entries()) if (number !== picture) stroke(context, course, range, box, 0.3, 1)
  const course = courses[picture]
  if (!course) return
  fill(context, course, range, box)
  stroke(context, course, range, box, 1, 2)
  if (pointed !== undefined) {
    context.strokeStyle = ink
    context.globalAlpha = 0.4
    line(context, xOf(pointed, box), box.top, xOf(pointed, box), box.bottom)
  }
  context.globalAlpha = 1
  for (const [number, { progress, factor }] of hasPoints ? course.entries() : []) {
    context.beginPath()
    context.arc(xOf(progress, box), heightOf(factor, range, box), POINT, 0, 2 * Math.PI)
    context.fillStyle = number === point ? COLOURS.composition : ink
    context.strokeStyle = COLOURS.plain
    context.lineWidth = 2
    context.fill()
    context.stroke()
  }
}

/** Tenths of sampling. @param {CanvasRenderingContext2D} context @param {string} ink @param {Box} box */
function drawSteps(context, ink, box) {
  context.fillStyle = context.strokeStyle = ink
  context.font = FONT
  context.textAlign = 'center'
  context.textBaseline = 'top'
  context.lineWidth = 1
  for (let tenth = 0; tenth <= 10; tenth++) {
    const x = Math.round(xOf(tenth / 10, box)) + 0.5
    context.globalAlpha = tenth % 5 ? 0.06 : 0.16
    line(context, x, box.top, x, box.bottom)
    context.globalAlpha = 0.6
    if (tenth % 5 === 0) context.fillText(String(tenth / 10), x, box.bottom + 5)
  }
  context.globalAlpha = 1
}

/** @param {CanvasRenderingContext2D} context @param {Course} course @param {Range} range @param {Box} box */
function trace(context, course, range, box) {
  context.beginPath()
  for (const [progress, factor] of outline(course)) context.lineTo(xOf(progress, box), heightOf(factor, range, box))
}

/** @param {CanvasRenderingContext2D} context @param {Course} course @param {Range} range @param {Box} box
 * @param {number} alpha @param {number} width */
function stroke(context, course, range, box, alpha, width) {
  trace(context, course, range, box)
  context.strokeStyle = COLOURS.plain
  context.globalAlpha = alpha
  context.lineWidth = width
  context.stroke()
}

/** The area between a curve and 0. @param {CanvasRenderingContext2D} context @param {Course} course
 * @param {Range} range @param {Box} box */
function fill(context, course, range, box) {
  trace(context, course, range, box)
  const zero = heightOf(0, range, box)
  context.lineTo(box.right, zero)
  context.lineTo(box.left, zero)
  context.fillStyle = COLOURS.plain
  context.globalAlpha = 0.15
  context.fill()
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} toX @param {number} toY */
function line(context, x, y, toX, toY) {
  context.beginPath()
  context.moveTo(x, y)
  context.lineTo(toX, toY)
  context.stroke()
}
