// @ts-check
// Guess the base model of a node before any run: by the name of the file that the loader before it loads.

/** What of LiteGraph's nodes is used here.
 * @typedef {{
 *   widgets?: {value?: unknown}[],
 *   inputs?: {name: string, type: unknown}[],
 *   outputs?: unknown[],
 *   getInputNode(slot: number): LinkedNode | null,
 *   getOutputNodes(slot: number): LinkedNode[] | null
 * }} LinkedNode */

const MODEL_FILE = /\.(safetensors|sft|ckpt|gguf|pth?)$/i
const WORDS = [
  { base: 'Kolors', word: /kolors/i },
  { base: 'Chroma', word: /chroma/i },
  { base: 'Flux', word: /flux/i },
  { base: 'Anima', word: /(^|[^a-z])anima([^a-z]|$)/i }, // not Animagine, nor AnimateDiff
  { base: 'SD3.5 Large', word: /sd_?3[._]?5_?large/i },
  { base: 'SDXL', word: /xl|pony|illustrious|noob|animagine/i },
  { base: 'SD1.5', word: /sd[_-]?(v)?1[._-]?5|v1[._-]5|(^|[^a-z])sd1([^0-9]|$)/i }
]
const FARTHEST = 30 // nodes

/** The base model that the name of a file speaks of. @param {string} file */
export function baseOfFile(file) {
  return WORDS.find(({ word }) => word.test(file))?.base
}

/** The base model at an input `model` of the node, or of the nodes that use what it gives.
 * @param {LinkedNode} node */
export function guess(node) {
  const file = fileBefore(node) ?? walk(node, after).map(fileBefore).find((found) => found !== undefined)
  return file === undefined ? undefined : baseOfFile(file)
}

/** The model file of the nearest loader before a node's input for models. @param {LinkedNode} node */
function fileBefore(node) {
  for (const each of walk(node, before)) {
    if (each === node) continue
    const found = each.widgets?.map(({ value }) => value).find((value) => typeof value === 'string' && MODEL_FILE.test(value))
    if (typeof found === 'string' && !each.inputs?.some(isModel)) return found
  }
}

/** The nodes that are reached by steps, the nearest first. @param {LinkedNode} node
 * @param {(node: LinkedNode) => (LinkedNode | null)[]} step */
function walk(node, step) {
  const found = new Set([node])
  for (const each of found) {
    if (found.size > FARTHEST) break
    for (const next of step(each)) if (next) found.add(next)
  }
  return [...found]
}

/** @param {LinkedNode} node */
function before(node) {
  return (node.inputs ?? []).flatMap((input, slot) => (isModel(input) ? [node.getInputNode(slot)] : []))
}

/** @param {LinkedNode} node */
function after(node) {
  return (node.outputs ?? []).flatMap((_, slot) => node.getOutputNodes(slot) ?? [])
}

/** @param {{type: unknown}} input */
function isModel({ type }) {
  return type === 'MODEL'
}
