// Blueprints that the pack offers: each inserted as a person does, wired, run, and its values changed from outside.
import { unlinkSync, writeFileSync } from 'node:fs'

import { add, clear, run } from '../../../../devtools/page.mjs'

export async function play({ page, task, shot }) {
  writeFileSync(task.catalogue.path, task.catalogue.content)
  try {
    const seen = {}
    for (const [name, pictures] of Object.entries(task.blueprints)) {
      await clear(page)
      const ids = await add(page, {
        checkpoint: { type: 'ImagePromptDemoCheckpoint', pos: [-800, 0], inputs: { base_model: 'SDXL' } },
        picture: { type: 'LoadImage', pos: [-800, 300], inputs: { image: pictures } },
        shown: { type: 'PreviewAny', pos: [600, 0] }
      })
      const inside = await page.evaluate(insert, [name, ids])
      await page.waitForTimeout(300)
      await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView'))
      await page.waitForTimeout(500)
      await shot(name)
      seen[name] = { ...inside, ended: await run(page) }
    }
    return seen
  } finally {
    unlinkSync(task.catalogue.path)
  }
}

// The blueprint of a name, added to the graph and wired to the nodes there.
async function insert([name, ids]) {
  const { canvas, graph } = window.app
  const listed = Object.entries(await (await fetch('/api/global_subgraphs')).json())
  const [id] = listed.find(([, entry]) => entry.name === name && entry.info.node_pack === 'custom_nodes.image-prompt')
  const { nodes, definitions } = JSON.parse((await (await fetch(`/api/global_subgraphs/${id}`)).json()).data)
  const made = canvas._deserializeItems({ nodes, subgraphs: definitions.subgraphs }, { position: [0, 0] })
  const node = made.nodes.values().next().value
  for (const [place, input] of node.inputs.entries()) {
    const source = { MODEL: ids.checkpoint, IMAGE: ids.picture }[input.type]
    if (source) graph.getNodeById(source).connect(0, node, place)
  }
  node.connect(0, graph.getNodeById(ids.shown), 0)
  const values = Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]))
  const weight = node.widgets.find((widget) => widget.name.endsWith('weight'))
  weight.value = 0.25
  weight.callback?.(0.25)
  return { title: node.title, values, weight: weight.name }
}
