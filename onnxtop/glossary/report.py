"""Words of the report: the file, its layers, where every constant went, and the settings of the figures."""

from onnxtop.glossary.term import Term

_MEASURES = "docs/measures.md; Rieck et al., Neural Persistence, ICLR 2019 (arXiv 1812.09764)"
_DEEP = "docs/deep-graph-persistence.md; Girrbach et al., TMLR 2023 (arXiv 2307.10865)"
_NULL = "docs/null-model.md"
_READING = "docs/reading-onnx.md"
_JSON = "onnxtop schema"
_FIGURES = "docs/reading.md"

TERMS = (
    Term(
        name="headline",
        title="what to think of a model, in plain words",
        what="trained: at least half of the layers that can be judged have structure, which weights as an "
        "initialiser draws them do not have; small layers, in which chance finds it now and then, count "
        "where a quarter of them have it. looks untrained: rule OT208 says so. cannot tell: no layer can be "
        "judged, or less than half of them show it. nothing wrong found: no rule that ran found an error or "
        "a warning, in what could be read. The first line of a page; of several models it counts them, the "
        "worst first.",
        limits="Says nothing of how good a model is.",
        source="docs/rules.md; onnxtop explain exchangeability",
        also=(
            "trained; nothing wrong found",
            "nothing new found",
            "looks untrained; beside that",
            "looking untrained",
            "cannot tell whether it was trained",
            "no layer is large enough to tell from chance",
            "no layer shows it",
            "its layers look made, not learned",
            "the weights were read, not measured",
            "cannot be compared with its baseline",
            "by the rules that ran in the layers that were asked for in the weights that could be read",
            "trained with nothing wrong found",
            "not known to be trained",
            "with findings that fail",
        ),
    ),
    Term(
        name="cache",
        title="what is remembered between runs",
        what="Reports, comparisons, graphs, checkpoints, and what was measured of layers, by what the files "
        "hold, the options, and the versions of onnxtop and its libraries: the same question about the same "
        "bytes is answered at once, and gives the same bytes. onnxtop cache shows where, how many results "
        "and bytes there are, and clears it; --cache off, or ONNXTOP_CACHE=off, leaves it out.",
        limits="What was used least recently makes room, from some 1 GiB on. Whoever may write into the "
        "folder may say what a model gave.",
        source="docs/cache.md",
        also=("nothing is remembered", "nothing new is remembered in this cache"),
    ),
    Term(
        name="next step",
        title="commands to go on with",
        what="At the end of a page, at most two.",
        source="onnxtop --help",
        also=(
            "says what it means and what to make of it",
            "says what a column means, and its limits",
            "measures these layers and judges them",
            "fails a build on errors",
            "shows what is in the model",
        ),
    ),
    Term(
        name="bars",
        title="bars of the network that end in a layer: where it is narrow",
        what="Deep graph persistence has as many bars as inputs and outputs together, less one. Each ends "
        "at one weight, the bottleneck of the path that joins two groups; the column counts those of each "
        "layer. It shows where the network is narrow. The row of the network has their number.",
        limits="Bars of strength 0, and those of paths without any weight, end in no layer.",
        source=_DEEP,
        also=("bar", "dgp_bars", "bars of the network"),
    ),
    Term(
        name="saturated",
        title="share of the bars that are as strong as the strongest",
        what="It grows with depth, or where one narrow place decides everything: then deep graph "
        "persistence speaks of the depth and of that place, not of training.",
        limits="Of published models of more than 20 layers, about half have more than half of their bars "
        "saturated. In the statistics of a layer, saturated counts weights stored as float16 that are the "
        "largest finite number.",
        source=_DEEP,
        also=("saturated bars", "% of bars saturated"),
    ),
    Term(
        name="connectivity",
        title="whether it is known which neuron feeds which",
        what="Exact: every operation between inputs and outputs was followed neuron by neuron. "
        "Conservative: at least one could not be, which is named; what enters it may reach all that "
        "leaves it, so that the figure is that of a graph with more paths than the network has.",
        how="A size that is open is assumed such that it fits the weights; --input-shape and --dim give it.",
        source="docs/deep-graph-persistence.md, Exact or conservative",
        also=("exact", "conservative", "unknown"),
    ),
    Term(
        name="convention",
        title="what of a diagram is counted",
        what="essential: the bars of the spanning tree, and the essential class, a bar of length 1, as "
        "the paper's public code does. tree: those of the spanning tree alone.",
        source=_MEASURES,
        also=("essential", "essential class", "spanning tree"),
    ),
    Term(
        name="scale",
        title="what weights are divided by",
        what="global: the largest |w| of all layers that count in the network's mean. layer: the largest "
        "|w| of each layer. A number: that number; one below the largest |w| is an error. The largest "
        "weight stands behind it in brackets, with its layer, row and column.",
        limits="With the global scale one outlier anywhere raises the NP of all other layers.",
        source=_MEASURES,
        also=("global", "largest weight", "w_max", "largest", "column"),
    ),
    Term(
        name="p",
        title="order of the norm that sums up a diagram",
        what="A total is the p-norm of the lengths of the bars: 2 unless told otherwise, any number above "
        "0, or inf, the longest bar alone.",
        source=_MEASURES,
    ),
    Term(
        name="bias",
        title="whether biases take part in neural persistence",
        what="none: they are left out. row: the bias of a layer is one more input, joined to every output.",
        limits="Of the constants counted apart from weights, a bias is what is added to the result of a "
        "layer.",
        source=_MEASURES,
        also=("biases", "row", "none"),
    ),
    Term(
        name="conv",
        title="which graph a convolution is, or which graphs",
        what="flattened: inputs are the channels in times the taps of the kernel, outputs the channels "
        "out. channels: inputs are the channels in, an edge is as strong as the largest tap. unrolled: "
        "the neurons themselves, one a channel and position, one graph for the whole layer. per-filter: "
        "one unrolled graph for each filter and channel it reads, each normalized, and their mean: the "
        "paper's own reading. The last two need the size of the input.",
        limits="The values of the four are not to be compared with each other.",
        source=_MEASURES,
        also=("convolution", "flattened", "channels", "unrolled", "per-filter", "filter"),
    ),
    Term(
        name="standardise",
        title="how strong a weight is for deep graph persistence",
        what="As many standard deviations as it is from the mean of its layer; with --no-standardise |w|, "
        "the vanilla variant. Both are divided by the largest of the network.",
        limits="The authors' code of the vanilla variant takes magnitudes of the paths it finds, not of the "
        "weights; its values differ.",
        source=_DEEP,
        also=("--no-standardise", "not standardised", "DGP not standardised", "vanilla"),
    ),
    Term(
        name="rescale",
        title="whether the strongest path has strength 1",
        what="Deep graph persistence divides the strength of each best path by that of the strongest; with "
        "--no-rescale it does not.",
        source=_DEEP,
        also=("--no-rescale", "not rescaled", "DGP not rescaled"),
    ),
    Term(
        name="skips",
        title="whether paths may take skip connections",
        what="keep: a path may pass by a block along its skip connection. cut: the earlier operand of a "
        "residual sum is left out, which shows the blocks themselves. The report gives both figures where "
        "they differ.",
        source=_DEEP,
        also=("skips cut", "cut", "keep", "with skips cut"),
    ),
    Term(
        name="peepholes",
        title="weights of an LSTM from the cell's state to its gates",
        what="They are biases to the report unless --peepholes counts them as layers.",
        source=_READING,
        also=("with peepholes",),
    ),
    Term(
        name="total",
        title="persistence of a diagram before it is normalized",
        what="The p-norm of the lengths of its bars: of a layer, or of the network by deep graph "
        "persistence. The network's total of neural persistence is the sum of its layers'.",
        source=_MEASURES,
        also=("sum of totals", "sum of the layers' totals"),
    ),
    Term(
        name="excess",
        title="how much of NP is above that of the same weights shuffled",
        what="Normalized NP of the layer, less the mean of the same weights in random places: the size of "
        "the effect whose certainty is z. Tables show it in percent of NP, excess_share is that as a share: "
        "what the places of the weights add to their distribution.",
        how="null_mean and null_std are the mean and the standard deviation in random places; z = excess / "
        "null_std, excess_share = excess / NP.",
        limits="z grows with the number of neurons, excess does not: z = 100 can be 12 % of NP. Below 0, "
        "large weights are spread more evenly than chance would have it.",
        source=_NULL,
        also=("null_mean", "null_std", "null mean", "excess_share", "np.excess_share"),
    ),
    Term(
        name="null band",
        title="bars beside those that chance would give",
        what="The curve shows how long the bars of a layer are, the longest first. In the grey band behind "
        "it lie 9 of 10 random arrangements of the same weights. Where the curve leaves the band, the places "
        "of the weights matter.",
        limits="Layers without a null model have no band.",
        source=_NULL,
        also=("band", "chance", "bars, chance", "NP by chance", "length", "length of a bar"),
    ),
    Term(
        name="diagram",
        title="persistence diagram of a layer",
        what="A point a bar: where it begins and where it ends. In a layer all begin at 1 and end at the "
        "strength of the weight that joins two groups of neurons, so that the points stand in one line: near "
        "the diagonal where strong weights join, far below it where weak ones do.",
        source=_MEASURES,
        also=("persistence diagram", "diagonal"),
    ),
    Term(
        name="strongest weights",
        title="single weights of a layer, by the neurons that they join",
        what="The largest |w|, and the bottlenecks: the weights at which bars of the network's deep graph "
        "persistence end. Neurons are named as the model names them, x[12] the thirteenth of x.",
        source=_DEEP,
        also=("bottlenecks", "bottleneck weights", "generator", "from"),
    ),
    Term(
        name="layer",
        title="a weight tensor and the operation that uses it",
        what="Named as its node, or as the exporter's module path where names of nodes mean nothing; what "
        "has the same name twice gets #2, #3. One weight with several uses is one layer.",
        source=_READING,
        also=("layers", "name", "weighted layer"),
    ),
    Term(
        name="op",
        title="the operation that uses a weight",
        what="Its type as in the file: Gemm, MatMul, Conv and so on; that of the first, where several do.",
        source=_READING,
        also=("op_type", "operation"),
    ),
    Term(
        name="parameters",
        title="numbers of a model that were trained, or could be",
        what="In a report: elements of weights, biases and normalisation parameters. In a probe: what the "
        "gradient is taken by; a tensor with several uses is one parameter.",
        source="docs/probe.md, docs/reading-onnx.md",
        also=("parameter",),
    ),
    Term(
        name="in \N{MULTIPLICATION SIGN} out",
        title="neurons that a layer joins",
        what="Inputs and outputs of its graph; rows are inputs, columns are outputs, however the file "
        "stores them.",
        source=_READING,
        also=("n_in", "n_out", "in", "out"),
    ),
    Term(
        name="shape",
        title="sizes of a weight tensor as the file stores it",
        what="The matrix that is measured has its inputs as rows, which need not be the first axis stored.",
        source=_READING,
    ),
    Term(
        name="weights",
        title="elements of the weight tensors",
        what="Of a layer, or of all that were analysed. Biases, normalisation parameters, other constants "
        "and unused tensors are counted apart.",
        source=_READING,
        also=(
            "weight",
            "parameters_analysed",
            "parameters_total",
            "analysed",
            "weight tensor",
            "weights from",
        ),
    ),
    Term(
        name="encoding",
        title="how the weights of a layer are stored",
        what="A float type, or the type of the codes with what gives them their scale: int8, uint4 block "
        "32, float4e2m1. Codes are measured as the numbers that they stand for.",
        source=_READING,
        also=("codes", "quantised"),
    ),
    Term(
        name="uses",
        title="nodes that apply a weight",
        what="One tensor used several times is one layer with several uses; it is tied.",
        source=_READING,
        also=("use", "tied", "ties"),
    ),
    Term(
        name="apart",
        title="measured by itself, or counted apart",
        what="A layer stands apart whose codes have a scale that cannot be told from the activation's: it "
        "has no unit in common with the others, so it is divided by its own largest |w| and counts in "
        "neither mean nor scale. Constants apart from weights are biases, normalisation parameters, "
        "others and unused ones.",
        source=_MEASURES,
        also=("measured by itself", "apart from weights", "of unknown scale"),
    ),
    Term(
        name="copy",
        title="a layer that holds the weights of an earlier one",
        what="Transposed or not. It is shown, and left out of the figures of the network.",
        source="docs/reading.md, Limits",
        also=("a copy of", "copy_of", "counted there", "copies"),
    ),
    Term(
        name="probably not trained",
        title="a layer whose structure says that it was made, not learned",
        what="Filter banks, Fourier tables, selections, blurs. It is shown, and left out of the figures "
        "of the network; --count-fixed counts it.",
        limits="Told by structure, which can err.",
        source=_READING,
        also=("probably_fixed", "fixed", "counting what was probably not trained", "count_fixed"),
    ),
    Term(
        name="NaN",
        title="a layer or constant with NaN or infinity",
        what="Such a layer has no value, sets no scale and enters no mean; the others are measured as usual.",
        source=_MEASURES,
        also=("nonfinite", "infinity", "infinite"),
    ),
    Term(
        name="undefined",
        title="a figure that has no value",
        what="A dash in the terminal, null in JSON, an empty cell in CSV; the reason stands beside it.",
        source="docs/formats.md",
        also=("not defined", "reason", "not measured", "null_reason"),
    ),
    Term(
        name="skipped",
        title="a weight tensor that could not be read",
        what="It is listed with its operation and the reason, counts in the coverage, and joins "
        "everything that enters its operation with everything that leaves it.",
        source=f"{_READING}, What is skipped",
        also=("skipped weight", "skip", "why", "tensors"),
    ),
    Term(
        name="normalisation",
        title="constants of normalisations",
        what="Gain, shift, mean and variance of BatchNormalization, LayerNormalization and the like, "
        "counted apart from weights.",
        source=_READING,
    ),
    Term(
        name="other constants",
        title="constants that are neither weights, biases nor normalisation",
        what="Shapes, axes, tables, scales and the like; what they are used by is counted, the largest "
        "kinds are named.",
        source=_READING,
        also=("other_constants", "other constant", "other_kinds", "kinds", "constants in all"),
    ),
    Term(
        name="unused",
        title="constants that no operation takes",
        what="They are in the file and change nothing.",
        source=_READING,
    ),
    Term(
        name="model",
        title="the file",
        what="Its path, the SHA-256 and the size in bytes of the .onnx itself (without external data), "
        "what wrote it, the version of the format (IR version) and of each set of operations (opset) that "
        "it uses.",
        source="onnx/onnx, docs/IR.md and docs/Versioning.md",
        also=(
            *("path", "sha256", "bytes", "byte", "producer", "producer unknown", "made by"),
            *("ir_version", "IR", "IR version", "opset", "size", "file"),
        ),
    ),
    Term(
        name="tool",
        title="what made a report",
        what="Name and version, and the version of each measure (algorithms): figures compare only if "
        "these agree. schema_version is that of the shape of the JSON.",
        source=_JSON,
        also=("schema_version", "version", "algorithms"),
    ),
    Term(
        name="settings",
        title="what figures depend on beside the file",
        what="A figure without its settings means nothing, so every format holds them. onnxtop help "
        "report lists the options; check --show-settings tells where each value comes from.",
        source="docs/measures.md, docs/check.md",
        also=("setting", "structure", "topology"),
    ),
    Term(
        name="statistics",
        title="what the weights of a layer look like",
        what="Smallest and largest weight, root of the mean square, zeros, rows and columns that are dead "
        "or repeat others, rank (looked for up to 32), codes: what the rules of families OT1, OT2 and OT6 "
        "judge. Not measured with --quick.",
        source="docs/rules.md",
        also=("indices", "zeros", "rank", "rms", "dead units", "duplicate units", "histogram"),
    ),
    Term(
        name="alpha",
        title="best way from an input to the outputs of a layer",
        what="The range, lowest and highest over the layer's outputs, of the strength of the strongest "
        "path from any input. beta: the same from the layer's inputs to any output.",
        source=_DEEP,
        also=("beta", "alpha_low", "alpha_high", "beta_low", "beta_high"),
    ),
    Term(
        name="network mean",
        title="the last row of the table",
        what="Mean normalized NP of the layers that count, the weights analysed, and the bars of the "
        "network.",
        source=_MEASURES,
    ),
    Term(
        name="run of a model",
        title="what became of a model that was run",
        what="What each input was given, by its type and shape, and what each output made of it. A "
        "failure says why a run did not end well: onnxruntime refused the model, it failed, its process "
        "died, or it went beyond a limit of time or memory.",
        source="docs/check.md",
        also=("failure", "given", "type", "not run"),
    ),
    Term(
        name="on data",
        title="what running the model on data gave",
        what="There only with --data, as onnxtop probe and onnxtop loss-barcode tell it.",
        source="docs/probe.md, docs/loss-barcode.md",
        also=("loss_probe", "loss_landscape"),
    ),
    Term(
        name="note",
        title="a remark, or the mildest severity",
        what="In a table, the number of a remark that stands beneath. Of a finding: worth knowing, never "
        "a failure. Of a figure: something that was read in a way that should be known.",
        source=_FIGURES,
        also=("notes", "remark", "for information"),
    ),
    Term(
        name="left out",
        title="rows of a long table that are not shown",
        what="Its ends, its extremes and what has a remark or a finding are; --all shows every row. "
        "Figures of the network are always over all layers. Where names have no room, what all of them begin "
        "and end with is left out of them, and said beneath.",
        source="onnxtop help report",
        also=(
            "shown",
            "more",
            "layers left out",
            "no layer name matches",
            "--all shows every one",
            "--all lists every one",
            "only layers matching",
            "network figures are over all layers",
            "left out, since the page is too narrow",
            "left out of the names",
            "at their start",
            "at their end",
        ),
    ),
)
"""In the order in which a report shows them."""
