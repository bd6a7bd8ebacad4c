"""Values that the tests of src/imaging compare with: background, detection and measurements by sep (the C code of SExtractor
as a library) on a synthetic field that src/imaging/synthetic.rs repeats bit for bit.

    pip install numpy sep
    python3 detection.py > detection.json
"""

import json
import math

import numpy as np
import sep

from synthetic_field import Generator, star_light

SHAPE = (256, 256)
FWHM, SKY, SLOPE, SEED = 3.0, 200.0, 0.05, 20240917
MESH = 64
THRESHOLD = 4.0


def field():
    """Twenty stars apart, three pairs that need deblending, one star cut by the edge."""
    places = Generator(4)
    stars = []
    while len(stars) < 20:
        x, y = round(15 + 225 * places.uniform(), 3), round(15 + 225 * places.uniform(), 3)
        if all(math.hypot(x - u, y - v) > 28 for u, v, _ in stars):
            stars.append((x, y, float(round(900 * 1.3 ** len(stars)))))
    for index, (dx, dy, share) in [(12, (6.0, 2.5, 0.6)), (14, (-5.5, 4.0, 0.8)), (16, (0.5, 8.0, 0.3))]:
        x, y, flux = stars[index]
        stars.append((round(x + dx, 3), round(y + dy, 3), round(flux * share)))
    stars.append((1.2, 131.4, 20000.0))
    return stars


def frame(stars):
    height, width = SHAPE
    light = star_light(stars, SHAPE, FWHM)
    noise = Generator(SEED)
    data, variance = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    for y in range(height):
        for x in range(width):
            expected = float(light[y, x]) + SKY + SLOPE * (x + 0.5 * y)
            square = expected + 25.0
            data[y, x] = expected + math.sqrt(square) * noise.normal()
            variance[y, x] = square
    return data, variance


def kernel(fwhm):
    sigma = fwhm / 2.3548200450309493
    reach = math.ceil(2.5 * sigma)
    line = np.array([math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-reach, reach + 1)])
    return np.outer(line, line)


def listed(values):
    return [float(value) for value in np.atleast_1d(values)]


def main():
    stars = field()
    data, variance = frame(stars)
    background = sep.Background(data, bw=MESH, bh=MESH)
    level, noise = background.back(), background.rms()
    samples = [(x, y) for y in range(3, 256, 31) for x in range(5, 256, 31)]
    # At this threshold no source is within a twentieth of it. sep's own cleaning compares data with significances when the filter
    # is matched, and drops a star of S/N 9 here, 33 pixels from a bright one: it stays off.
    objects = sep.extract(
        data - level, THRESHOLD, err=noise, minarea=4, filter_kernel=kernel(2.5), filter_type="matched",
        deblend_nthresh=32, deblend_cont=0.005, clean=False,
    )
    order = np.argsort(-objects["flux"])
    objects = objects[order]
    x, y = objects["x"], objects["y"]
    # Measurements on the same pixels for both: a constant is subtracted, in double precision.
    plain = data.astype(float) - 220.0
    error = np.sqrt(variance.astype(float))
    apertures = []
    for radius in [0.4, 2.0, 3.0, 5.25, 12.0]:
        flux, flux_error, _ = sep.sum_circle(plain, x, y, radius, err=error, subpix=0)
        apertures.append({"radius": radius, "flux": listed(flux), "error": listed(flux_error)})
    mask = np.zeros(SHAPE, bool)
    mask[np.floor(y + 0.5).astype(int), np.clip(np.floor(x + 0.5).astype(int) + 1, 0, 255)] = True
    masked, _, _ = sep.sum_circle(plain, x, y, 4.0, mask=mask, subpix=0)
    sigma = 1.4
    xwin, ywin, _ = sep.winpos(plain, x, y, sigma, subpix=11)
    # Half-light radius on the curve of growth within a fixed radius.
    total, _, _ = sep.sum_circle(plain, x, y, 8.0, subpix=0)
    half, _ = sep.flux_radius(plain, x, y, np.full(len(x), 8.0), 0.5, normflux=total, subpix=25)
    # Kron apertures of the detections' own moments, as SExtractor takes them: 2.5 first moments, at least 3.5 semi-axes.
    a, b, theta = objects["a"], objects["b"], objects["theta"]
    first_moment, _ = sep.kron_radius(plain, x, y, a, b, theta, 6.0)
    kron = np.maximum(2.5 * first_moment, 3.5)
    automatic, automatic_error, _ = sep.sum_ellipse(plain, x, y, a, b, theta, kron, err=error, subpix=0)
    print(json.dumps({
        "made_with": f"sep {sep.__version__}",
        "shape": SHAPE, "fwhm": FWHM, "sky": SKY, "slope": SLOPE, "seed": SEED,
        "stars": stars,
        "image": {
            "sum": float(data.astype(float).sum()),
            "pixels": [[int(u), int(v), float(data[v, u])] for u, v in samples],
        },
        "background": {
            "mesh": MESH,
            "global_level": float(background.globalback), "global_noise": float(background.globalrms),
            "samples": [[u, v, float(level[v, u]), float(noise[v, u])] for u, v in samples],
        },
        "detection": {
            "threshold": THRESHOLD,
            "x": listed(x), "y": listed(y), "a": listed(objects["a"]), "b": listed(objects["b"]),
            "theta": listed(objects["theta"]), "pixels": [int(n) for n in objects["npix"]],
            "blended": [bool(flag & sep.OBJ_MERGED) for flag in objects["flag"]],
            "truncated": [bool(flag & sep.OBJ_TRUNC) for flag in objects["flag"]],
        },
        "plain_level": 220.0,
        "apertures": apertures,
        "masked_aperture": {"radius": 4.0, "flux": listed(masked)},
        "windowed": {"sigma": sigma, "x": listed(xwin), "y": listed(ywin)},
        "kron": {
            "first_moment": listed(first_moment), "radius": listed(kron),
            "flux": listed(automatic), "error": listed(automatic_error),
        },
        "half_light": {"total_radius": 8.0, "total": listed(total), "radius": listed(half)},
    }, indent=1))


main()
