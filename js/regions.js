// @ts-check
// A canvas on Image Prompt Regions, on which references get the places where they act.
import { app } from '../../scripts/app.js'

import { addRegions } from './regions/editor.mjs'
import { REGIONS } from './regions/graph.mjs'

app.registerExtension({
  name: 'image-prompt.regions',

  nodeCreated(created) {
    const node = /** @type {import('../devtools/types/comfy').Node} */ (created)
    if (node.comfyClass === REGIONS) addRegions(node)
  }
})
