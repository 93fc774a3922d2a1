"""The counter against multiplications that are counted in other ways."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfalign.macc as macc
from tfalign.layers import LandmarkwiseDense, ShapeIndexedCrop, SpatialTransformer


def sum_with_ones(model: keras.Model) -> int:
    """Sum of the outputs for inputs and weights of 1: every product is 1, so it counts them."""
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    inputs = [np.ones((1, *shape), "float32") for shape in shapes]
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    return round(float(np.sum(np.asarray(outputs), dtype=np.float64)))


ONE_PRODUCT_PER_TERM = {
    "conv": ((9, 11, 6), layers.Conv2D(5, (3, 2), use_bias=False)),
    "strides": ((9, 11, 6), layers.Conv2D(5, 3, strides=(2, 3), use_bias=False)),
    "dilation": ((9, 11, 6), layers.Conv2D(5, 3, dilation_rate=2, use_bias=False)),
    "groups": ((9, 11, 6), layers.Conv2D(8, 3, groups=2, use_bias=False)),
    "conv1d": ((13, 3), layers.Conv1D(4, 5, use_bias=False)),
    "conv3d": ((5, 6, 7, 2), layers.Conv3D(3, (2, 3, 2), use_bias=False)),
    "depthwise": ((9, 11, 6), layers.DepthwiseConv2D(3, use_bias=False)),
    "multiplier": ((9, 11, 6), layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)),
    "transpose": ((4, 5, 6), layers.Conv2DTranspose(3, (3, 2), use_bias=False)),
    "transpose strides": ((4, 5, 6), layers.Conv2DTranspose(3, 3, strides=2, use_bias=False)),
    "dense": ((7,), layers.Dense(4, use_bias=False)),
    "dense on a sequence": ((3, 7), layers.Dense(4, use_bias=False)),
    "einsum": ((5, 6), layers.EinsumDense("bnk,nkf->bnf", output_shape=(5, 4))),
    "einsum with dots": ((5, 6, 3), layers.EinsumDense("...k,kf->...f", output_shape=(5, 6, 4))),
    "einsum of any length": ((6, 3), layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))),
    "landmarkwise": ((5, 6), LandmarkwiseDense(4, use_bias=False)),
}


@pytest.mark.parametrize("case", ONE_PRODUCT_PER_TERM)
def test_macc_is_the_sum_over_a_network_of_ones(case: str) -> None:
    shape, layer = ONE_PRODUCT_PER_TERM[case]
    model = keras.Sequential([keras.Input(shape), type(layer).from_config(layer.get_config())])
    report = macc.count(model)
    assert report.macc == sum_with_ones(model)
    assert report.params == sum(weight.size for weight in model.get_weights())


@pytest.mark.parametrize(
    ("left", "right", "function"),
    [
        ((3, 4), (4, 5), ops.matmul),
        ((2, 3, 4), (2, 4, 5), ops.matmul),
        ((3, 4), (4, 5), lambda a, b: ops.einsum("bij,bjk->bik", a, b)),
        ((3, 4), (5, 4), lambda a, b: ops.einsum("...ij,...kj->...ik", a, b)),
        ((3, 4), (4, 5), lambda a, b: layers.Dot(axes=(2, 1))([a, b])),
        ((3, 4), (5, 4), lambda a, b: layers.Dot(axes=-1)([a, b])),
        # Rows that were flattened into the batch share an axis that is longer than 1.
        (
            (6, 4),
            (6, 4),
            lambda a, b: layers.Dot(axes=1)([ops.reshape(a, (-1, 4)), ops.reshape(b, (-1, 4))]),
        ),
    ],
)
def test_products_of_two_tensors(left: tuple, right: tuple, function) -> None:
    inputs = [keras.Input(left), keras.Input(right)]
    model = keras.Model(inputs, function(*inputs))
    assert macc.count(model).macc == sum_with_ones(model)


def test_products_of_a_fixed_batch() -> None:
    inputs = [keras.Input((3, 4), batch_size=5), keras.Input((4, 2), batch_size=5)]
    model = keras.Model(inputs, layers.Dot(axes=(2, 1))(inputs))
    assert macc.count(model).macc == 5 * 3 * 4 * 2


def test_einsum_without_a_sum_is_elementwise() -> None:
    inputs = [keras.Input((3,)), keras.Input((4,))]
    report = macc.count(keras.Model(inputs, ops.einsum("bi,bj->bij", *inputs)))
    assert (report.macc, report.total.elementwise) == (0, 12)


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_same_padding_counts_the_taps_on_the_border(strides: int) -> None:
    height, width, channels, filters, kernel = 7, 8, 3, 5, 3
    model = keras.Sequential(
        [
            keras.Input((height, width, channels)),
            layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False),
        ]
    )
    products = 0
    for y, x in itertools.product(range(0, height, strides), range(0, width, strides)):
        del y, x
        for _ in itertools.product(range(kernel), range(kernel), range(channels), range(filters)):
            products += 1
    assert macc.count(model).macc == products


def test_separable_is_depthwise_and_pointwise() -> None:
    separable = keras.Sequential(
        [keras.Input((9, 8, 4)), layers.SeparableConv2D(6, 3, 2, depth_multiplier=2)]
    )
    two = keras.Sequential(
        [
            keras.Input((9, 8, 4)),
            layers.DepthwiseConv2D(3, 2, depth_multiplier=2, use_bias=False),
            layers.Conv2D(6, 1),
        ]
    )
    assert macc.count(separable).total == macc.count(two).total
    assert macc.count(separable).params == macc.count(two).params


def test_columns_are_kept_apart() -> None:
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Add()([x, x, x])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(2)(layers.Dropout(0.5)(x))
    total = macc.count(keras.Model(inputs, x)).total
    pixels = 8 * 8 * 4
    assert total == macc.Cost(
        macc=pixels * 27 + 4 * 2,
        bias_norm=pixels + pixels + 2,
        activation=pixels + pixels,
        pooling=4 * 4 * 4 * 4 + pixels,
        resampling=4 * pixels,
        elementwise=2 * pixels,
    )


def test_shape_indexed_crop_is_resampling() -> None:
    inputs = [keras.Input((12, 10, 3)), keras.Input((7, 2))]
    report = macc.count(keras.Model(inputs, ShapeIndexedCrop((4, 5))(inputs)))
    row = report.layers[-1]
    along_x = 7 * 3 * (4 + 1) * 5  # five rows of five, for each landmark and channel
    along_y = 7 * 3 * 4 * 5
    assert (row.macc, row.resampling) == (0, 2 * (along_x + along_y))


def test_a_view_without_a_turn_blends_rows_then_columns() -> None:
    inputs = [keras.Input((12, 10, 3)), keras.Input((4,))]
    row = macc.count(keras.Model(inputs, SpatialTransformer((5, 7), "scaling")(inputs))).layers[-1]
    rows = 5 * 10 * 3  # whole rows of the image
    columns = 5 * 7 * 3
    assert (row.macc, row.resampling) == (0, 2 * (rows + columns))
    assert row.elementwise == 2 * (5 + 7)  # a product and a sum for each row and each column


def test_shared_layer_counts_at_each_call_and_its_weights_once() -> None:
    dense = layers.Dense(4, name="dense")
    inputs = keras.Input((4,))
    report = macc.count(keras.Model(inputs, dense(dense(inputs))))
    rows = [row for row in report.layers if row.type == "Dense"]
    assert [row.name for row in rows] == ["dense", "dense#2"]
    assert [row.params for row in rows] == [20, 0]
    assert (report.macc, report.params) == (2 * 16, 20)


def test_nested_model_is_counted_at_the_size_it_is_called_with() -> None:
    inner = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(2, 1, use_bias=False, name="conv")],
        name="inner",
    )
    large, small = keras.Input((8, 8, 3)), keras.Input((4, 4, 3))
    model = keras.Model([large, small], [inner(large), inner(small)])
    report = macc.count(model)
    assert sorted(row.macc for row in report.layers if row.macc) == [16 * 6, 64 * 6]
    assert {row.name for row in report.layers if row.macc} == {"inner/conv", "inner#2/conv#2"}
    assert report.params == 6


def test_operations_on_flattened_rows_count_every_row() -> None:
    inputs = keras.Input((5, 6))
    rows = ops.reshape(inputs, (-1, 6))
    outputs = ops.reshape(layers.Dense(4, use_bias=False)(rows), (-1, 5, 4))
    assert macc.count(keras.Model(inputs, outputs)).macc == 5 * 6 * 4


def test_time_distributed_counts_every_step() -> None:
    model = keras.Sequential(
        [keras.Input((5, 8, 8, 3)), layers.TimeDistributed(layers.Conv2D(4, 3, use_bias=False))]
    )
    assert macc.count(model).macc == 5 * 36 * 27 * 4


def test_freezing_a_layer_does_not_change_the_parameters() -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)]
    )
    expected = 6 * 4 + 4 + 2 * 4 + 4 * 2 + 2
    assert macc.count(model).params == expected
    model.trainable = False
    assert macc.count(model).params == expected


def test_open_size_must_be_given() -> None:
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, use_bias=False)])
    with pytest.raises(ValueError, match="pass `input_shape`"):
        macc.count(model)
    assert macc.count(model, input_shape=(5, 6, 3)).macc == 3 * 4 * 27 * 2
    with pytest.raises(ValueError, match=r"Received: input_shape=\(5, 6\)"):
        macc.count(model, input_shape=(5, 6))


class Scaled(layers.Layer):
    """A layer that no rule knows."""

    def call(self, inputs):
        return inputs * 2.0


def test_unknown_layer_raises_and_says_how_to_add_a_rule() -> None:
    model = keras.Sequential([keras.Input((3,)), Scaled(name="mine")])
    with pytest.raises(ValueError, match=r"@tfalign\.macc\.rule\(Scaled\).*name='mine'"):
        macc.count(model)


def test_a_rule_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfalign.macc.registry._LAYER_RULES", {})

    @macc.rule(Scaled)
    def scaled(layer, inputs, outputs) -> macc.Cost:
        return macc.Cost(elementwise=outputs[0][-1])

    model = keras.Model(inputs := keras.Input((3,)), Scaled()(inputs))
    macc.rule(layers.InputLayer)(lambda layer, inputs, outputs: macc.Cost())
    assert macc.count(model).total == macc.Cost(elementwise=3)


def test_a_subclass_with_its_own_call_needs_its_own_rule() -> None:
    class Renamed(layers.Dense):
        pass

    class Twice(layers.Dense):
        def call(self, inputs):
            return super().call(inputs) + super().call(inputs)

    model = keras.Sequential([keras.Input((3,)), Renamed(2)])
    assert macc.count(model).macc == 6
    with pytest.raises(ValueError, match="rule\\(Twice\\)"):
        macc.count(keras.Sequential([keras.Input((3,)), Twice(2)]))


def test_model_without_a_graph_is_refused() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="functional and sequential"):
        macc.count(Subclassed())
    with pytest.raises(ValueError, match="must be built"):
        macc.count(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"must be a keras\.Model"):
        macc.count(layers.Dense(2))


def test_cost_refuses_what_is_no_count() -> None:
    with pytest.raises(ValueError, match=r"macc=-1"):
        macc.Cost(macc=-1)
    with pytest.raises(ValueError, match=r"pooling=0\.5"):
        macc.Cost(pooling=0.5)


def test_rule_refuses_what_is_no_kind() -> None:
    with pytest.raises(ValueError, match="one or more layer classes"):
        macc.rule()
    with pytest.raises(ValueError, match="one or more layer classes"):
        macc.rule(layers.Dense(2))


def test_long_einsum_is_refused() -> None:
    inputs = [keras.Input((3,)), keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, ops.einsum("bi,bi,bi->b", *inputs))
    with pytest.raises(ValueError, match="one or two operands"):
        macc.count(model)


def test_report_prints_and_serialises_its_totals() -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(1000, name="wide"), layers.Flatten()], name="small"
    )
    report = macc.count(model)
    table = report.table().splitlines()
    words = [" ".join(line.split()) for line in table]
    assert words[0] == "small"
    assert words[1] == (
        "layer type output params MACC bias+norm activation pooling resampling elementwise"
    )
    assert words[3] == "wide Dense 1x1000 7,000 6,000 1,000 0 0 0 0"
    assert words[-1] == "total 7,000 6,000 1,000 0 0 0 0"
    assert len(report.table(compact=True).splitlines()) == len(table) - 1
    plain = json.loads(report.to_json())
    assert (plain["macc"], plain["params"]) == (6000, 7000)
    assert [row["type"] for row in plain["layers"]] == ["Dense", "Flatten"]
    assert str(report) == "small: 6,000 MACC, 7,000 parameters"


@pytest.mark.parametrize("other", [None, (1, 7, 12)])
def test_attention_equals_the_sum_of_its_products(other) -> None:
    layer = layers.MultiHeadAttention(num_heads=3, key_dim=4, value_dim=5)
    query = keras.Input((6, 8), batch_size=1)
    memory = query if other is None else keras.Input(other[1:], batch_size=1)
    inputs = [query] if other is None else [query, memory]
    model = keras.Model(inputs, layer(query, memory, memory))
    rows = memory.shape[1]
    features = memory.shape[2]
    projections = 6 * 8 * 12 + rows * features * 12 + rows * features * 15 + 6 * 15 * 8
    assert macc.count(model).macc == projections + 3 * 6 * rows * (4 + 5)
    # In whatever order and by whatever name its inputs are given.
    named = keras.Model(inputs, layer(key=memory, value=memory, query=query))
    assert macc.count(named).total == macc.count(model).total


@pytest.mark.parametrize(("axes", "seen"), [(None, 4 * 5), ((2,), 5), ((-3,), 4)])
def test_attention_in_a_picture(axes, seen: int) -> None:
    """Each of 4 · 5 cells is compared with all cells, or with those of its row or column."""
    layer = layers.MultiHeadAttention(num_heads=2, key_dim=3, attention_axes=axes, use_bias=False)
    picture = keras.Input((4, 5, 6))
    cells, projections = 4 * 5, 3 * (6 * 6) + 6 * 6
    macc_of = macc.count(keras.Model(picture, layer(picture, picture))).macc
    assert macc_of == cells * projections + 2 * cells * seen * (3 + 3)


def test_a_layer_may_take_its_state_by_name() -> None:
    sequence, state = keras.Input((9, 5)), keras.Input((7,))
    model = keras.Model([sequence, state], layers.GRU(7)(initial_state=state, sequences=sequence))
    assert macc.count(model).macc == 9 * 3 * 7 * (5 + 7)


def test_an_einsum_of_any_length_may_be_called_by_keyword() -> None:
    sequence = keras.Input((6, 3))
    dense = layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))
    report = macc.count(keras.Model(sequence, dense(inputs=sequence)))
    assert report.macc == 6 * 3 * 5


def test_a_layer_may_be_told_of_training_that_it_does_not_ask_for() -> None:
    picture = keras.Input((8, 8, 3))
    outputs = layers.ReLU()(layers.Conv2D(4, 3)(picture, training=False), training=True)
    assert macc.count(keras.Model(picture, outputs)).macc == 6 * 6 * 4 * 27


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
def test_recurrent_layers_count_each_step(kind: str, gates: int) -> None:
    model = keras.Sequential([keras.Input((9, 5)), getattr(layers, kind)(7)])
    assert macc.count(model).macc == 9 * gates * 7 * (5 + 7)


def test_layers_of_convnext_have_rules() -> None:
    shape = (32, 32, 3)
    model = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=shape)
    assert "LayerScale" in {type(layer).__name__ for layer in model.layers}
    assert macc.count(model).macc > 0


def test_augmentation_and_spectral_normalisation_add_nothing() -> None:
    plain = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    image = keras.Input((8, 8, 3))
    x = layers.RandomZoom(0.1)(layers.RandomFlip()(image))
    model = keras.Model(image, layers.SpectralNormalization(layers.Conv2D(4, 3))(x))
    assert macc.count(model).total == macc.count(plain).total
