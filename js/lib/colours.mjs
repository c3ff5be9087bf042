// @ts-check
// Colours of references, which are told apart on dark ground, by the colour-blind too where there are few.

const PALETTE = ['#5aa9ff', '#ff9f43', '#4cd08a', '#ff6fa3', '#ffd84d', '#b48cff', '#45d4dc', '#ff7a66']

/** The colour of a reference by its number, counted from 1.
 * @param {number} number */
export function colourOf(number) {
  return PALETTE[(number - 1) % PALETTE.length]
}
