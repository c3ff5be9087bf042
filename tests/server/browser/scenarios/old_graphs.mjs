// A person opens files with nodes of another pack, and runs them.
import { run } from '../../../../devtools/page.mjs'

let page, task // of the visit

export async function play(visit) {
  ;({ page, task } = visit)
  const graphs = {}
  for (const [name, graph] of Object.entries(task.graphs)) graphs[name] = await use(graph)
  return { graphs, nested: await openNested(), found: await search() }
}

// {missing, prompt, ended}: nodes that are none, what would be queued, and how the run ended
async function use(graph) {
  const seen = await page.evaluate(async (graph) => {
    await window.app.loadGraphData(graph)
    const unknown = (nodes) => nodes.map((node) => node.type).filter((type) => !(type in window.LiteGraph.registered_node_types))
    const prompt = (await window.app.graphToPrompt()).output
    return { missing: unknown(window.app.graph.nodes), prompt }
  }, graph)
  seen.warned = await page.getByTestId('error-overlay-see-errors').isVisible()
  return { ...seen, ended: await run(page) }
}

// What a file with subgraphs would queue.
function openNested() {
  return page.evaluate(async (graph) => {
    await window.app.loadGraphData(graph)
    return (await window.app.graphToPrompt()).output
  }, task.nested)
}

// What the search box offers.
async function search() {
  await page.evaluate(() => window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle'))
  await page.getByRole('dialog').getByRole('combobox').or(page.getByRole('dialog').getByRole('textbox')).first().fill(task.search)
  const offered = page.getByTestId('result-item')
  await offered.first().waitFor()
  return offered.allInnerTexts()
}
