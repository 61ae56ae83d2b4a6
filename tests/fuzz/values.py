"""Numbers, texts, places and operations that programs seldom see, for whatever a file says of the kind."""

import math

INTS = (
    *(0, 1, -1, 2, 3, 5, 8, 63, 255, 1000),
    *(sign * 2**bits + off for bits in (31, 32, 40, 63) for sign, off in ((1, -1), (1, 0), (-1, 0))),
)
"""Whole numbers; those that 64 bits do not hold are cut to them where they are written."""

FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 3.4e38, -3.4e38, math.inf, -math.inf, math.nan)

TEXTS = (
    *("", " ", "\0", "a\0b", "x" * 3000, "0", "-1", "nan", "None", "é", "e\u0301" * 40, "語" * 30, "🙂"),
    *(
        "\x1b[2J",
        "\x1b]8;;http://e.invalid\x07",
        "\x9b31m",
        "\r",
        "\n\n",
        "\t=1",
        "\u202e",
        "\u2028",
        "\ufeff",
    ),
    *("=1+1", "@A1", "+A1", "-A1|x", "%00", "a,b", 'a";"b', "'", "\\", "a\\", "$(id)", "`id`", "{0}", "%n"),
    *("<b>", "</script><script>x</script>", "<img src=x onerror=x>", "]]>", "&amp;&#0;", "<!--", "{{ 7*7 }}"),
    *(
        "|",
        "a|b",
        "`",
        "```",
        "~~~",
        "---",
        "# a",
        "* a",
        "[a](javascript:x)",
        "![a](//e.invalid)",
        "<a>@u #1",
    ),
    *("::error::x", "%0A::error::x", "::endgroup::", '"]; a -> b; "', "a --> b", 'x"] --> y', "%%{init}%%"),
    *(
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "//e.invalid/x",
        "file:///etc/passwd",
        "https://e.invalid/x",
        "\0sparse",
    ),
    *(
        "nested/scope/name",
        "model.layers.0.weight",
        "#2",
        "name#2",
        "layer (2)",
        "/block/MatMul_output_0",
        "~",
    ),
)

PLACES = (
    *(
        "weights.bin",
        "weights.bin",
        "sub/deep.bin",
        "short.bin",
        "inner",
        "./sub/../weights.bin",
        "weights.bin/",
    ),
    *(
        "out",
        "zero",
        "pipe",
        "circle",
        "sub",
        ".",
        "",
        "model.onnx",
        "nothing.bin",
        "w" * 300,
        "a\0b",
        "\0inline",
    ),
    *(
        "../outside.bin",
        "sub/../../outside.bin",
        "up/outside.bin",
        "/etc/hostname",
        "/dev/zero",
        "/proc/self/mem",
    ),
    *("https://e.invalid/w", "file:///etc/hostname", "~/x", "C:\\w", "WEIGHTS.BIN", "weights.bin\n"),
)
"""Locations of external data: in the folder of a model, in those below, outside, and what is no file."""

OPERATIONS = (
    *("Abs", "Add", "And", "ArgMax", "Attention", "AveragePool", "BatchNormalization", "Bernoulli"),
    *("BitShift", "BlackmanWindow", "Cast", "CastLike", "CenterCropPad", "Clip", "Col2Im", "Compress"),
    *("Concat", "Constant", "ConcatFromSequence", "ConstantOfShape", "Conv", "ConvInteger"),
    *("ConvTranspose", "CumSum", "DFT", "Det", "DeformConv", "DepthToSpace", "DequantizeLinear", "Div"),
    *("Dropout", "DynamicQuantizeLinear", "Einsum", "Expand", "EyeLike", "Flatten", "GRU", "Gather"),
    *("GatherElements", "GatherND", "Gemm", "GlobalMaxPool", "GridSample", "GroupNormalization"),
    *("HannWindow", "Identity", "If", "InstanceNormalization", "LSTM", "Loop", "LayerNormalization"),
    *("LpNormalization", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool", "MaxRoiPool", "Mean"),
    *("MelWeightMatrix", "Mod", "Mul", "Multinomial", "NonMaxSuppression", "NonZero", "OneHot", "Optional"),
    *("OptionalGetElement", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN"),
    *("RandomNormal", "RandomUniformLike", "Range", "ReduceL1", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceSum", "Relu", "Reshape", "Resize", "ReverseSequence", "RoiAlign", "RotaryEmbedding", "STFT"),
    *("Scan", "Scatter", "ScatterElements", "ScatterND", "SequenceAt", "SequenceConstruct", "SequenceMap"),
    *("Shape", "Shrink", "Size", "Slice", "Softmax", "SoftmaxCrossEntropyLoss", "SpaceToDepth", "Split"),
    *("SplitToSequence", "Squeeze", "StringConcat", "StringSplit", "Sub", "Sum", "TensorScatter"),
    *("TfIdfVectorizer", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Unsqueeze", "Upsample", "Where"),
    *("Xor", "Unheard"),
)

OTHERS = {
    "ai.onnx.ml": (
        *("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "TreeEnsemble", "Scaler"),
        *("ArrayFeatureExtractor", "OneHotEncoder", "Normalizer", "Imputer"),
    ),
    "com.microsoft": (
        *("Attention", "BiasGelu", "DecoderMaskedSelfAttention", "DequantizeLinear", "DynamicQuantizeLSTM"),
        *("DynamicQuantizeMatMul", "EmbedLayerNormalization", "FusedConv", "FusedGemm", "FusedMatMul"),
        *("GatherBlockQuantized", "GroupQueryAttention", "MatMulBnb4", "MatMulInteger16"),
        *("MatMulIntegerToFloat", "MatMulNBits", "MoE", "MultiHeadAttention", "NhwcConv"),
        *("PackedAttention", "QAttention", "QGemm", "QLinearAdd", "QMoE", "QOrderedMatMul"),
        *("RelativePositionBias", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
        *("TransposeMatMul",),
    ),
    "qonnx.custom_op.general": ("Quant", "BipolarQuant", "Trunc", "IntQuant", "FloatQuant"),
    "onnx.brevitas": ("Quant",),
    "ai.onnx.preview.training": ("Gradient", "Adam"),
    "strange": ("Conv", "MatMul", "F"),
}
"""Operations of other domains."""

ATTRIBUTES = (
    *("axis", "axes", "perm", "pads", "strides", "dilations", "group", "kernel_shape", "auto_pad"),
    *("output_shape", "output_padding", "transA", "transB", "alpha", "beta", "to", "equation"),
    *("hidden_size", "direction", "layout", "input_forget", "linear_before_reset", "activations", "clip"),
    *("num_heads", "q_num_heads", "kv_num_heads", "qkv_hidden_sizes", "block_size", "bits", "K", "N"),
    *("accuracy_level", "num_scan_inputs", "value", "value_floats", "value_ints", "sparse_value"),
    *("allowzero", "mode", "keepdims", "epsilon", "then_branch", "else_branch", "body", "num_outputs"),
    *("split", "batch_dims", "blocksize", "exclusive", "reverse", "saturate", "output_dtype", "upper"),
    *("coefficients", "intercepts", "targets", "support_vectors", "weights", "scan_input_axes"),
    *("scan_input_directions", "scan_output_axes", "scan_output_directions", "training_mode", "seed"),
    *("dtype", "stash_type", "ceil_mode"),
)
