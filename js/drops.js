// @ts-check
// A picture that is dropped on a node arrives loaded and wired: a file, or one from a gallery.
import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

import { addChain, pictureBehind, show } from './drops/chain.mjs'
import { ASSET, LINK, isPicture, mayHavePictures, named, stored } from './drops/items.mjs'
import { TARGETS } from './drops/targets.mjs'
import { DROPS, isOn } from './lib/settings.mjs'
import { say } from './lib/words.mjs'

/** @typedef {import('../devtools/types/comfy').Node} Node */

app.registerExtension({
  name: 'image-prompt.drops',

  nodeCreated(created) {
    const node = /** @type {Node} */ (created)
    if (!TARGETS[node.comfyClass ?? '']) return
    node.onDragOver = (event) => isOn(DROPS) && mayHavePictures(/** @type {DataTransfer} */ (event.dataTransfer))
    node.onDragDrop = (event) => isOn(DROPS) && drop(node, /** @type {DataTransfer} */ (event.dataTransfer))
  }
})

/** What was dropped is read at once, as a browser allows it only during the event.
 * @param {Node} node @param {DataTransfer} dropped @returns {boolean | Promise<boolean>} whether it was for the node */
function drop(node, dropped) {
  const files = [...dropped.files].filter((file) => isPicture(file.type))
  const item = stored(dropped.getData(ASSET), dropped.getData(LINK), location.href)
  if (files.length) return bring(node, files.map(uploaded))
  return item ? bring(node, [Promise.resolve(named(item))]) : false
}

/** Bring pictures to the node, and say why one does not arrive.
 * @param {Node} node @param {Promise<string>[]} coming names, as Load Image has them @returns {Promise<true>} */
async function bring(node, coming) {
  const arrived = await Promise.allSettled(coming)
  const names = arrived.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = arrived.find((each) => each.status === 'rejected')
  if (failed) warn(say('drops.failed', { why: String(failed.reason?.message ?? failed.reason) }))
  app.canvas.emitBeforeChange() // until the other one, everything is one step of undo
  try {
    const added = names.map((name, index) => take(node, name, index === 0))
    const used = added.filter((nodes) => nodes.length).length
    if (used < names.length) warn(say('drops.full', { used, count: names.length }))
    if (used) select(added.flat())
  } finally {
    app.canvas.emitAfterChange()
  }
  return true
}

/** Wire a picture to the first socket that is free. A node of one socket gets the first picture in place of its own.
 * @param {Node} node @param {string} name @param {boolean} first
 * @returns {Node[]} the nodes that bring it; none where there is no place */
function take(node, name, first) {
  const { sockets, chain } = TARGETS[node.comfyClass ?? '']
  const fit = node.inputs.filter((input) => sockets.test(input.name))
  const free = fit.find((input) => !node.isInputConnected(node.inputs.indexOf(input)))
  const socket = (free ?? (first && fit.length === 1 ? fit[0] : undefined))?.name
  if (!socket) return []
  const before = pictureBehind(node, socket)
  if (!before) return addChain(node, socket, chain, name)
  show(before, name)
  return [before]
}

/** @param {Node[]} nodes */
function select(nodes) {
  app.canvas.deselectAll()
  app.canvas.selectItems(nodes)
}

/** Send a file to the server's input folder, as Load Image does.
 * @param {File} file @returns {Promise<string>} its name there */
async function uploaded(file) {
  const body = new FormData()
  body.append('image', file)
  const answer = await api.fetchApi('/upload/image', { method: 'POST', body })
  if (!answer.ok) throw new Error(`${file.name}: ${answer.status} ${answer.statusText}`)
  const { name, subfolder } = await answer.json()
  return named({ filename: name, subfolder })
}

/** @param {string} detail */
function warn(detail) {
  app.extensionManager.toast.add({ severity: 'warn', summary: say('drops.title'), detail, life: 8000 })
}
