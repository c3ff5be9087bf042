// Opens files with the older IPAdapterEncoder, if ComfyUI has this pack's nodes of IPAdapter_plus.
import { app } from '../../scripts/app.js'
import { OLDER, renameInGraph } from './compat.mjs'

app.registerExtension({
  name: 'image-prompt.compat',

  beforeConfigureGraph(graph) {
    if (OLDER in (window.LiteGraph?.registered_node_types ?? {})) renameInGraph(graph)
  }
})
