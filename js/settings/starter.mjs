// @ts-check
// The nodes of a first image prompt, put between the model of the open graph and what samples it.
import { app } from '../../../scripts/app.js'
import { api } from '../../../scripts/api.js'

import { PACK } from '../lib/pack.mjs'
import { layOut } from '../lib/place.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */

const TEMPLATE = 'One_reference_SD1.5' // for a graph without nodes
const TYPES = {
  models: 'ImagePromptLoadModels',
  picture: 'LoadImage',
  encode: 'ImagePromptEncode',
  apply: 'ImagePromptApply'
}
/** @type {[keyof typeof TYPES, number, keyof typeof TYPES, string][]} */
const WIRES = [
  ['models', 0, 'apply', 'model'],
  ['models', 1, 'apply', 'adapter'],
  ['models', 1, 'encode', 'adapter'],
  ['models', 2, 'encode', 'clip_vision'],
  ['picture', 0, 'encode', 'image'],
  ['encode', 0, 'apply', 'features']
]

/** Add them, as one step of undo; to an empty graph the template of the simplest graph. */
export async function addStarter() {
  const nodes = /** @type {Node[]} */ (app.canvas.graph?.nodes ?? [])
  if (!nodes.length) return openTemplate()
  app.canvas.emitBeforeChange()
  try {
    add(samplerOf(nodes), nodes)
  } finally {
    app.canvas.emitAfterChange()
  }
}

async function openTemplate() {
  const answer = await api.fetchApi(`/workflow_templates/${encodeURIComponent(PACK)}/${TEMPLATE}.json`)
  await app.loadGraphData(await answer.json(), true, true, TEMPLATE)
}

/** The only node that takes a model and gives none.
 * @param {readonly Node[]} nodes @returns {Node | undefined} */
function samplerOf(nodes) {
  const found = nodes.filter(
    (node) => node.inputs?.some(({ type }) => type === 'MODEL') && !node.outputs?.some(({ type }) => type === 'MODEL')
  )
  return found.length === 1 ? found[0] : undefined
}

/** @param {Node | undefined} sampler @param {readonly Node[]} nodes of the graph */
function add(sampler, nodes) {
  const made = /** @type {Record<keyof typeof TYPES, Node>} */ (
    Object.fromEntries(Object.entries(TYPES).map(([name, type]) => [name, window.LiteGraph.createNode(type)]))
  )
  layOut(sampler ?? nodes[0], [[made.models, made.picture], [made.encode], [made.apply]])
  for (const [from, output, to, input] of WIRES) made[from].connect(output, made[to], made[to].findInputSlot(input))
  if (sampler) between(sampler, made.models, made.apply)
  app.canvas.deselectAll()
  app.canvas.selectItems(Object.values(made))
}

/** @param {Node} sampler @param {Node} first @param {Node} last */
function between(sampler, first, last) {
  const place = sampler.inputs.findIndex(({ type }) => type === 'MODEL')
  const link = sampler.isInputConnected(place) && sampler.getInputLink(place)
  if (link) sampler.graph?.getNodeById(link.origin_id)?.connect(link.origin_slot, first, first.findInputSlot('model'))
  last.connect(0, sampler, place)
}
