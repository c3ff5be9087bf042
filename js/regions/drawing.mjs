// @ts-check
// The picture of regions: a board of the latent's shape, and on it what each reference covers.
import { around, handles } from './geometry.mjs'
import { layer, overlap, trace } from './layers.mjs'

/** @typedef {import('./text.mjs').Shape} Shape */
/** @typedef {import('./text.mjs').Point} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Frame */
/** A reference on the board, with its shapes.
 * @typedef {{number: number, name: string, title: string, colour: string, picture?: HTMLImageElement, shapes: Shape[]}} Mark */
/** What is drawn: chosen is the line of a shape, and pending are the points of a polygon that is not closed yet.
 * @typedef {{marks: Mark[], chosen: number, feather: number, pending: readonly Point[], pointer?: Point, colour: string,
 *   hint: string}} Scene */

const BORDER = 9 // around the board, so that handles at its edge are whole
const SCALE = 2 // layers are as sharp as the canvas
const HANDLE = 4
const BADGE = 26
const FONT = '12px system-ui, sans-serif'
const COVERED = 0.4

/** Where the board is on a canvas.
 * @param {number} width @param {number} height @param {number} ratio width of the picture by its height
 * @returns {Frame} */
export function frameOf(width, height, ratio) {
  const [across, down] = [Math.max(1, width - 2 * BORDER), Math.max(1, height - 2 * BORDER)]
  const fitted = Math.min(across, down * ratio)
  const size = { width: fitted, height: fitted / ratio }
  return { x: (width - size.width) / 2, y: (height - size.height) / 2, ...size }
}

/** A function that draws scenes, and keeps the layers that have not changed. */
export function painter() {
  /** @type {Map<number, import('./layers.mjs').Layer>} */
  const made = new Map()
  /** @type {import('./layers.mjs').Layer | undefined} */
  let shared

  /** @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Scene} scene */
  return function paint(context, frame, scene) {
    const [width, height] = [frame.width * SCALE, frame.height * SCALE].map(Math.round)
    context.translate(frame.x, frame.y)
    ground(context, frame)
    const covering = scene.marks.filter(({ shapes }) => shapes.length)
    const layers = covering.map(({ number, shapes, colour }) => {
      const each = layer(made.get(number), shapes, colour, width, height, scene.feather)
      made.set(number, each)
      return each
    })
    context.globalAlpha = COVERED
    for (const { canvas } of layers) context.drawImage(canvas, 0, 0, frame.width, frame.height)
    shared = overlap(shared, layers, width, height)
    context.globalAlpha = 0.8
    context.drawImage(shared.canvas, 0, 0, frame.width, frame.height)
    context.globalAlpha = 1
    for (const mark of covering) outlines(context, frame, mark, scene.chosen)
    for (const mark of covering) badge(context, frame, mark)
    const chosen = scene.marks.flatMap(({ shapes }) => shapes).find(({ line }) => line === scene.chosen)
    if (chosen) held(context, frame, chosen)
    polygon(context, frame, scene)
    if (!covering.length && !scene.pending.length) hint(context, frame, scene.hint)
  }
}

/** @param {CanvasRenderingContext2D} context @param {Frame} frame */
function ground(context, { width, height }) {
  context.fillStyle = '#17191d'
  context.fillRect(0, 0, width, height)
  context.strokeStyle = 'rgba(255, 255, 255, 0.08)'
  context.lineWidth = 1
  context.beginPath()
  for (const part of [1 / 3, 2 / 3]) {
    context.moveTo(part * width, 0)
    context.lineTo(part * width, height)
    context.moveTo(0, part * height)
    context.lineTo(width, part * height)
  }
  context.stroke()
  context.strokeStyle = 'rgba(255, 255, 255, 0.35)'
  context.strokeRect(0, 0, width, height)
}

/** @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Mark} mark @param {number} chosen */
function outlines(context, { width, height }, { shapes, colour }, chosen) {
  for (const { line, cut, points } of shapes) {
    trace(context, points, width, height)
    context.strokeStyle = line === chosen ? '#ffffff' : colour
    context.lineWidth = line === chosen ? 2 : 1.5
    context.setLineDash(cut ? [5, 4] : [])
    context.stroke()
  }
  context.setLineDash([])
}

/** The picture of a reference, or its number, in its first shape.
 * @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Mark} mark */
function badge(context, { width, height }, { shapes, colour, picture, number }) {
  const shape = shapes.find(({ cut }) => !cut)
  const [left, top, right, bottom] = shape ? around(shape.points) : [0, 0, 1, 1]
  const x = ((left + right) / 2) * width - BADGE / 2
  const y = ((top + bottom) / 2) * height - BADGE / 2
  context.fillStyle = colour
  context.fillRect(x - 2, y - 2, BADGE + 4, BADGE + 4)
  if (picture) {
    const side = Math.min(picture.naturalWidth, picture.naturalHeight)
    const [from, down] = [(picture.naturalWidth - side) / 2, (picture.naturalHeight - side) / 2]
    context.drawImage(picture, from, down, side, side, x, y, BADGE, BADGE)
  } else words(context, String(number || '?'), x + BADGE / 2, y + BADGE / 2, BADGE, '#000000')
}

/** @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Shape} shape */
function held(context, { width, height }, shape) {
  context.fillStyle = '#ffffff'
  context.strokeStyle = '#000000'
  context.lineWidth = 1
  for (const [x, y] of handles(shape)) {
    context.beginPath()
    context.rect(x * width - HANDLE, y * height - HANDLE, 2 * HANDLE, 2 * HANDLE)
    context.fill()
    context.stroke()
  }
}

/** A polygon that is not closed yet.
 * @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Scene} scene */
function polygon(context, { width, height }, { pending, pointer, colour }) {
  if (!pending.length) return
  context.strokeStyle = context.fillStyle = colour
  context.lineWidth = 2
  context.beginPath()
  for (const [x, y] of pointer ? [...pending, pointer] : pending) context.lineTo(x * width, y * height)
  context.stroke()
  pending.forEach(([x, y], index) => {
    context.beginPath()
    context.arc(x * width, y * height, index ? 3 : 5, 0, 2 * Math.PI)
    context.fill()
  })
}

/** @param {CanvasRenderingContext2D} context @param {Frame} frame @param {string} said */
function hint(context, { width, height }, said) {
  words(context, said, width / 2, height / 2, width - 16, 'rgba(255, 255, 255, 0.6)')
}

/** @param {CanvasRenderingContext2D} context @param {string} said @param {number} x @param {number} y
 * @param {number} most @param {string} colour */
function words(context, said, x, y, most, colour) {
  context.font = FONT
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillStyle = colour
  context.fillText(said, x, y, most)
}
