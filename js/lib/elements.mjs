// @ts-check
// Elements of the page in few words.

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element with its properties and children. A property `class` names its classes, `on` its listeners, `data` and
 * `aria` its attributes of these kinds; texts are never read as HTML.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, { class: classes = '', on = {}, data = {}, aria = {}, ...properties } = {}, ...children) {
  const made = document.createElement(tag)
  if (classes) made.className = classes
  Object.assign(made, properties)
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === 'role' ? name : `aria-${name}`, value)
  Object.assign(made.dataset, data)
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, /** @type {any} */ (listener))
  made.append(.../** @type {(Node | string)[]} */ (children.filter(Boolean)))
  return made
}

/** An element with a style of its own, and a text.
 * @template {keyof HTMLElementTagNameMap} Tag @param {Tag} tag @param {string} style @param {string} [text]
 * @returns {HTMLElementTagNameMap[Tag]} */
export function styled(tag, style, text = '') {
  return element(tag, { style }, text)
}
