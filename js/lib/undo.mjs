// @ts-check
// Steps of undo for changes that ComfyUI does not notice by itself: it looks after mouse buttons and keys only.
import { app } from '../../../scripts/app.js'

const PAUSE_MS = 400

/** A function to call after each change of a row of them, such as turns of a wheel: they become one step when they end.
 * @returns {() => void} */
export function oneStep() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting
  return () => {
    if (waiting === undefined) app.canvas.emitBeforeChange()
    clearTimeout(waiting)
    waiting = setTimeout(() => {
      waiting = undefined
      app.canvas.emitAfterChange()
    }, PAUSE_MS)
  }
}
