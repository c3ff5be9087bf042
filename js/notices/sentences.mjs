// @ts-check
// What stands on a node of a message, and what ComfyUI says of a node that it refuses to queue.

/** @typedef {{input_name?: string, received_value?: unknown}} About */
/** @typedef {{type?: string, message?: string, details?: string, extra_info?: About}} Refused */
/** @typedef {{text: string, input: string, value: unknown, isOff: boolean}} Refusal `isOff`: the value is in no list */

const END = /^.*?[.!?](?=\s|$)/ // not the point in a number or in the name of a file

/** The first sentence of a text.
 * @param {string} text */
export function firstSentence(text) {
  const line = text.trim().split('\n', 1)[0].trim()
  return END.exec(line)?.[0] ?? line
}

/** The first reason why a node was refused, as ComfyUI gives it; a message of the node itself without what is put
 * before it.
 * @param {readonly Refused[] | undefined} errors @returns {Refusal | undefined} */
export function refusal(errors) {
  const error = errors?.[0]
  if (!error) return undefined
  const { input_name: input = '', received_value: value } = error.extra_info ?? {}
  const details = error.details ?? ''
  const said = [error.message, details].filter(Boolean).join(': ')
  const own = error.type === 'custom_validation_failed' && details.startsWith(`${input} - `)
  return {
    text: own ? details.slice(input.length + 3) : said,
    input,
    value,
    isOff: error.type === 'value_not_in_list'
  }
}
