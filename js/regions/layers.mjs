// @ts-check
// Masks as canvases: what each reference covers in its colour, with soft edges, and where several overlap.
import { feathered } from './feather.mjs'

/** @typedef {import('./text.mjs').Shape} Shape */
/** @typedef {{key: string, canvas: HTMLCanvasElement}} Layer */

const SOFT = 96 // longer side of the mask whose edges are softened: a soft edge needs no more
const HATCH = { gap: 12, line: 3, colour: 'rgba(255, 255, 255, 0.75)' }

/** @param {number} width @param {number} height */
export function blank(width, height) {
  const canvas = document.createElement('canvas')
  canvas.width = Math.max(1, Math.round(width))
  canvas.height = Math.max(1, Math.round(height))
  return { canvas, context: /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')) }
}

/** Draw an outline: points are in parts of the size.
 * @param {CanvasRenderingContext2D} context @param {readonly import('./text.mjs').Point[]} points
 * @param {number} width @param {number} height */
export function trace(context, points, width, height) {
  context.beginPath()
  for (const [x, y] of points) context.lineTo(x * width, y * height)
  context.closePath()
}

/** What shapes cover. One that was made before stays, if nothing has changed.
 * @param {Layer | undefined} made @param {readonly Shape[]} shapes @param {string} colour
 * @param {number} width @param {number} height @param {number} feather @returns {Layer} */
export function layer(made, shapes, colour, width, height, feather) {
  const key = JSON.stringify([shapes.map(({ cut, points }) => [cut, points]), colour, width, height, feather])
  if (made?.key === key) return made
  if (feather <= 0) return { key, canvas: hard(shapes, colour, width, height) }
  const scale = SOFT / Math.max(width, height)
  const { canvas, context } = blank(width, height)
  context.imageSmoothingQuality = 'high'
  context.drawImage(soft(hard(shapes, colour, width * scale, height * scale), feather), 0, 0, width, height)
  return { key, canvas }
}

/** @param {readonly Shape[]} shapes @param {string} colour @param {number} width @param {number} height */
function hard(shapes, colour, width, height) {
  const { canvas, context } = blank(width, height)
  context.fillStyle = colour
  if (shapes[0]?.cut) context.fillRect(0, 0, width, height)
  for (const { cut, points } of shapes) {
    context.globalCompositeOperation = cut ? 'destination-out' : 'source-over'
    trace(context, points, canvas.width, canvas.height)
    context.fill('evenodd')
  }
  return canvas
}

/** Soften the edges of what is drawn.
 * @param {HTMLCanvasElement} canvas @param {number} feather */
function soft(canvas, feather) {
  const { width, height } = canvas
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'))
  const { data } = context.getImageData(0, 0, width, height)
  const mask = new Float32Array(width * height).map((_, place) => data[4 * place + 3])
  const colour = context.fillStyle
  const image = context.createImageData(width, height)
  context.globalCompositeOperation = 'source-over'
  context.fillRect(0, 0, width, height) // each pixel has the colour, so that no edge is dark
  image.data.set(context.getImageData(0, 0, width, height).data)
  feathered(mask, width, height, feather).forEach((value, place) => (image.data[4 * place + 3] = value))
  context.fillStyle = colour
  context.putImageData(image, 0, 0)
  return canvas
}

/** Hatching where two or more layers overlap, as strong as they do.
 * @param {Layer | undefined} made @param {readonly Layer[]} layers @param {number} width @param {number} height
 * @returns {Layer} */
export function overlap(made, layers, width, height) {
  const key = layers.map((each) => each.key).join()
  if (made?.key === key) return made
  const union = blank(width, height)
  const shared = blank(width, height)
  for (const { canvas } of layers) {
    const both = blank(width, height)
    both.context.drawImage(union.canvas, 0, 0)
    both.context.globalCompositeOperation = 'source-in'
    both.context.drawImage(canvas, 0, 0)
    shared.context.drawImage(both.canvas, 0, 0)
    union.context.drawImage(canvas, 0, 0)
  }
  shared.context.globalCompositeOperation = 'source-in'
  shared.context.drawImage(hatching(width, height), 0, 0)
  return { key, canvas: shared.canvas }
}

/** @param {number} width @param {number} height */
function hatching(width, height) {
  const { canvas, context } = blank(width, height)
  context.strokeStyle = HATCH.colour
  context.lineWidth = HATCH.line
  context.beginPath()
  for (let x = -height; x < width; x += HATCH.gap) {
    context.moveTo(x, height)
    context.lineTo(x + height, 0)
  }
  context.stroke()
  return canvas
}
