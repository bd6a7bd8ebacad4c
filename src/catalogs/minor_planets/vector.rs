//! Vectors of three components, au or au per day.

pub(super) type Vector = [f64; 3];

pub(super) fn plus(left: Vector, right: Vector) -> Vector {
    [left[0] + right[0], left[1] + right[1], left[2] + right[2]]
}

pub(super) fn minus(left: Vector, right: Vector) -> Vector {
    [left[0] - right[0], left[1] - right[1], left[2] - right[2]]
}

pub(super) fn times(vector: Vector, factor: f64) -> Vector {
    vector.map(|component| component * factor)
}

pub(super) fn dot(left: Vector, right: Vector) -> f64 {
    left[0] * right[0] + left[1] * right[1] + left[2] * right[2]
}

pub(super) fn norm(vector: Vector) -> f64 {
    dot(vector, vector).sqrt()
}

pub(super) fn turned(matrix: [Vector; 3], vector: Vector) -> Vector {
    matrix.map(|row| dot(row, vector))
}
