// @ts-check
// Steps of undo for changes that ComfyUI does not notice by itself: it looks after mouse buttons and keys only.
import { app } from '../../../scripts/app.js'

const PAUSE_MS = 400

/** A function to call before each change of a row of them, such as turns of a wheel: they become one step when they end.
 * @returns {() => void} */
export function oneStep() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting

  function end() {
    clearTimeout(waiting)
    waiting = undefined
    window.removeEventListener('keydown', end, true)
    app.canvas.emitAfterChange()
  }

  return () => {
    if (waiting === undefined) {
      app.canvas.emitBeforeChange()
      window.addEventListener('keydown', end, true) // it may ask for undo
    }
    clearTimeout(waiting)
    waiting = setTimeout(end, PAUSE_MS)
  }
}
