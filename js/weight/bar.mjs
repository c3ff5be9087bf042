// @ts-check
// A bar from 0 to 1 for a number that may also lie outside: where it ends, and what a place or a key sets.

export const STEP = 0.05
export const FINE = 0.01

/** @typedef {{least: number, most: number}} Limits of the number */

/** How much of the bar is filled, from 0 to 1, and on which side the number lies outside it.
 * @param {number} value @returns {{filled: number, outside: '' | 'below' | 'above'}} */
export function drawn(value) {
  if (value > 1) return { filled: 1, outside: 'above' }
  return value < 0 ? { filled: 1, outside: 'below' } : { filled: value, outside: '' }
}

/** The number at a place on the bar. Its ends are 0 and 1, however far beyond them the pointer is.
 * @param {number} x from 0 to 1 @param {number} step */
export function at(x, step) {
  return snapped(Math.min(Math.max(x, 0), 1), step)
}

/** The number that a key makes of another one; undefined for a key that does nothing.
 * @param {string} key @param {number} value @param {number} step @param {Limits} limits */
export function after(key, value, step, { least, most }) {
  const next = {
    ArrowLeft: value - step,
    ArrowDown: value - step,
    ArrowRight: value + step,
    ArrowUp: value + step,
    Home: 0,
    End: 1
  }[key]
  return next === undefined ? undefined : Math.min(Math.max(snapped(next, FINE), least), most)
}

/** @param {number} value @param {number} step */
function snapped(value, step) {
  return Number((Math.round(value / step) * step).toFixed(2))
}
