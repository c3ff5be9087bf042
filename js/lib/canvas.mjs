// @ts-check
// Canvases that are as sharp as the screen. Each is drawn at most once in a frame, and only while it is on the screen;
// where many wait, as in a graph that opens, a few are drawn in each frame, so that none of them is late.

const WORK_MS = 6 // of drawing in a frame, after which the rest waits for the next

/** @typedef {{width: number, height: number, isOnScreen: boolean, isOld: boolean, paint: () => void}} Seen
 * `isOld`: it does not show what it should */

/** @type {WeakMap<Element, Seen>} */
const known = new WeakMap()
/** @type {Set<Seen>} */
const waiting = new Set()
let isFrameAsked = false

// What the browser tells of sizes costs nothing; to ask an element, after others were changed, lays out the whole page.
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const seen = known.get(target)
    if (seen) ask(Object.assign(seen, { width: Math.round(contentRect.width), height: Math.round(contentRect.height) }))
  }
})

const places = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const seen = known.get(target)
    if (!seen) continue
    seen.isOnScreen = isIntersecting
    if (seen.isOld) ask(seen)
  }
})

/** @param {Seen} seen */
function ask(seen) {
  seen.isOld = true
  if (!seen.isOnScreen || !seen.width || !seen.height) return
  waiting.add(seen)
  askFrame()
}

function askFrame() {
  if (!isFrameAsked) requestAnimationFrame(paintSome)
  isFrameAsked = true
}

function paintSome() {
  isFrameAsked = false
  const start = performance.now()
  try {
    for (const seen of [...waiting]) {
      waiting.delete(seen)
      seen.isOld = false
      seen.paint()
      if (performance.now() - start > WORK_MS) break
    }
  } finally {
    if (waiting.size) askFrame()
  }
}

/**
 * @param {(context: CanvasRenderingContext2D, width: number, height: number) => void} draw draws in CSS pixels
 * @returns {{canvas: HTMLCanvasElement, redraw: () => void}}
 */
export function sharpCanvas(draw) {
  const canvas = document.createElement('canvas')
  canvas.style.cssText = 'display:block;width:100%;height:100%;touch-action:none'
  const seen = { width: 0, height: 0, isOnScreen: false, isOld: true, paint }

  function paint() {
    const context = canvas.getContext('2d')
    if (!context) return
    const scale = 2 * (window.devicePixelRatio || 1) // the graph is often enlarged
    canvas.width = Math.round(seen.width * scale)
    canvas.height = Math.round(seen.height * scale)
    context.scale(scale, scale)
    draw(context, seen.width, seen.height)
  }

  known.set(canvas, seen)
  sizes.observe(canvas)
  places.observe(canvas)
  return { canvas, redraw: () => ask(seen) }
}
