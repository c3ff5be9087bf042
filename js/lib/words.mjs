// @ts-check
// What the scripts say, in the language of the browser: the part `imagePrompt` of locales/<language>/main.json. And the
// words for choices, which ComfyUI's frontend leaves as they are: `options` in locales/<language>/nodeDefs.json.
import { app } from '../../../scripts/app.js'
import { api } from '../../../scripts/api.js'

const FALLBACK = 'en'

/** @typedef {{[key: string]: string | Words}} Words */

/** @typedef {{[value: string]: string}} Choices */
/** @typedef {{[node: string]: {inputs?: {[input: string]: {options?: Choices}}}}} Nodes */

/** @type {{[language: string]: {imagePrompt?: Words, nodeDefs?: Nodes}}} */
const spoken = await load()

async function load() {
  try {
    return await (await api.fetchApi('/i18n')).json()
  } catch {
    return {} // keys are shown
  }
}

/** A sentence by its key, such as 'models.missing', with its {names} replaced; the key itself where there is none.
 * @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export function say(key, values = {}) {
  const sentence = find(spoken[language()]?.imagePrompt, key) ?? find(spoken[FALLBACK]?.imagePrompt, key) ?? key
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole))
}

/** What is shown for the values of a combo box, where it differs from them.
 * @param {string} node @param {string} input @returns {Choices | undefined} */
export function choiceWords(node, input) {
  return spoken[language()]?.nodeDefs?.[node]?.inputs?.[input]?.options
}

function language() {
  return String(app.extensionManager?.setting?.get('Comfy.Locale') ?? FALLBACK)
}

/** @param {Words | undefined} words @param {string} key @returns {string | undefined} */
function find(words, key) {
  /** @type {string | Words | undefined} */
  let found = words
  for (const part of key.split('.')) found = typeof found === 'object' ? found[part] : undefined
  return typeof found === 'string' ? found : undefined
}
