// A person opens the address that `dev.py serve --demo` prints, and presses Run.
import { run } from '../../../../devtools/page.mjs'

export async function play({ page, task, shot }) {
  await page.goto(task.address, { waitUntil: 'domcontentloaded' })
  const opened = (count) => window.app?.extensionManager && window.app.graph?.nodes.length === count
  await page.waitForFunction(opened, task.nodes)
  const ended = await run(page)
  await page.waitForFunction(shown, task.nodes2)
  await shot('ran')
  return { ended }
}

// Whether the pictures are there. The classic canvas draws them; in Nodes 2.0 they are elements.
function shown(nodes2) {
  const { imgs = [] } = window.app.graph.nodes.find((node) => node.type === 'SaveImage')
  const pictures = nodes2 ? [...document.querySelectorAll('[data-node-id] img[src*="first_picture"]')] : imgs
  return pictures.some((picture) => picture.complete && picture.naturalWidth)
}
