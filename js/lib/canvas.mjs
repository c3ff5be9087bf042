// @ts-check
// A canvas that is as sharp as the screen, and drawn at most once in a frame.

/**
 * @param {(context: CanvasRenderingContext2D, width: number, height: number) => void} draw draws in CSS pixels
 * @returns {{canvas: HTMLCanvasElement, redraw: () => void}}
 */
export function sharpCanvas(draw) {
  const canvas = document.createElement('canvas')
  canvas.style.cssText = 'display:block;width:100%;height:100%;touch-action:none'
  let waits = false

  function paint() {
    waits = false
    const { clientWidth: width, clientHeight: height } = canvas
    const context = canvas.getContext('2d')
    if (!context || !width || !height) return
    const scale = 2 * (window.devicePixelRatio || 1) // the graph is often enlarged
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
    context.scale(scale, scale)
    draw(context, width, height)
  }

  function redraw() {
    if (waits) return
    waits = true
    requestAnimationFrame(paint)
  }

  new ResizeObserver(redraw).observe(canvas)
  return { canvas, redraw }
}

/** Where a pointer is on an element, each from 0 to 1, also outside it. It counts how much the graph is enlarged.
 * @param {Element} element @param {{clientX: number, clientY: number}} pointer */
export function placeOn(element, pointer) {
  const box = element.getBoundingClientRect()
  return { x: (pointer.clientX - box.left) / box.width, y: (pointer.clientY - box.top) / box.height }
}
