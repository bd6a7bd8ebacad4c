"""Values that src/imaging/extraction_oracle.rs compares with: the catalogues of source-extractor on a synthetic field, on the same
field with masked pixels, and on a real frame; and the background of source-extractor and sep on a sloping sky.

    apt-get install source-extractor; pip install numpy astropy sep
    python3 extraction.py [../../../shared/data] > extraction.json

Sky level and noise are given to both sides (BACK_TYPE MANUAL, MAP_RMS), so that thresholds, fluxes and errors are of the same
pixels; "frames" are whole real frames with each side's own background (src/gp1/real_frames_tests.rs). The field is that of synthetic_field.py; galaxies are rows of stars.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import sep
from astropy.io import fits

from synthetic_field import Generator, star_light

SHAPE = (320, 400)
FWHM, SKY, READ_SQUARE, SEED = 3.0, 300.0, 25.0, 41
THRESHOLD = 5.0
KERNEL_FWHM = 2.5
APERTURES = [3.0, 6.0]
SLOPE_SHAPE, SLOPE_SKY, SLOPE, SLOPE_SEED = (448, 512), 400.0, 0.08, 43
MESH = 64
# Brighter is called saturated.
SATURATION = 30000.0

PARAMETERS = """NUMBER X_IMAGE_DBL Y_IMAGE_DBL X2_IMAGE Y2_IMAGE XY_IMAGE A_IMAGE B_IMAGE THETA_IMAGE ISOAREAF_IMAGE
FLUX_ISO FLUXERR_ISO FLUX_APER(2) FLUXERR_APER(2) FLUX_AUTO FLUXERR_AUTO KRON_RADIUS FLUX_RADIUS XWIN_IMAGE
YWIN_IMAGE FLAGS""".split()


def field():
    """Stars over a ratio of fluxes of 300, rows of five stars as galaxies, close pairs, and two cut by the edge."""
    places = Generator(17)
    stars, taken = [], []
    while len(taken) < 48:
        x, y = round(16 + 368 * places.uniform(), 3), round(16 + 288 * places.uniform(), 3)
        if any(math.hypot(x - u, y - v) < 30 for u, v in taken):
            continue
        taken.append((x, y))
        count = len(taken)
        if count % 4 == 0:
            flux, angle, step = float(round(700 * 1.11**count)), 3.1 * places.uniform(), 0.8 + 1.2 * places.uniform()
            for place in range(-2, 3):
                stars.append(
                    (round(x + place * step * math.cos(angle), 3), round(y + place * step * math.sin(angle), 3), flux)
                )
        else:
            stars.append((x, y, float(round(1000 * 1.12**count))))
            if count % 11 == 0:
                stars.append((round(x + 6.0, 3), round(y - 3.5, 3), float(round(500 * 1.12**count))))
    stars.append((1.2, 131.4, 20000.0))
    stars.append((200.3, 318.6, 9000.0))
    return stars


def frame(stars, shape, sky, slope, seed):
    """As src/imaging/synthetic.rs makes it."""
    height, width = shape
    light, noise = star_light(stars, shape, FWHM), Generator(seed)
    data = np.zeros(shape, np.float32)
    for y in range(height):
        for x in range(width):
            expected = float(light[y, x]) + sky + slope * (x + 0.5 * y)
            data[y, x] = expected + math.sqrt(expected + READ_SQUARE) * noise.normal()
    return data


def masked_pixels():
    """A column and spots, beside stars and on them."""
    column = [(x, y) for y in range(40, 300) for x in (137,)]
    spots = Generator(5)
    found = []
    for _ in range(160):
        x, y = int(4 + 390 * spots.uniform()), int(4 + 310 * spots.uniform())
        found += [(x, y), (x + 1, y)]
    return column + found


def kernel_line():
    sigma = KERNEL_FWHM / 2.3548200450309493
    reach = math.ceil(2.5 * sigma)
    return np.array([math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-reach, reach + 1)])


def extracted(data, level, noise, threshold, bad, saturation, options):
    """The catalogue, with the threshold in standard deviations of the filtered sky."""
    line = kernel_line()
    kernel = np.outer(line, line)
    # source-extractor thresholds the image filtered by a kernel of unit sum, in standard deviations of one pixel.
    in_pixels = threshold * math.sqrt((kernel**2).sum()) / kernel.sum()
    rms = np.full(data.shape, noise, np.float32)
    for x, y in bad:
        rms[y, x] = 1e31  # unusable, by WEIGHT_THRESH
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fits.writeto(folder / "image.fits", data)
        fits.writeto(folder / "rms.fits", rms)
        rows = "\n".join(" ".join(f"{value:.9e}" for value in row) for row in kernel)
        (folder / "kernel.conv").write_text(f"CONV NORM\n{rows}\n")
        (folder / "default.param").write_text("\n".join(PARAMETERS) + "\n")
        settings = {
            "CATALOG_NAME": "catalogue.fits", "CATALOG_TYPE": "FITS_1.0", "PARAMETERS_NAME": "default.param",
            "DETECT_MINAREA": 4, "DETECT_THRESH": f"{in_pixels:.9f}", "ANALYSIS_THRESH": f"{in_pixels:.9f}",
            "FILTER": "Y", "FILTER_NAME": "kernel.conv", "DEBLEND_NTHRESH": 32, "DEBLEND_MINCONT": 0.005, "CLEAN": "Y",
            "WEIGHT_TYPE": "MAP_RMS", "WEIGHT_IMAGE": "rms.fits", "WEIGHT_GAIN": "N", "INTERP_TYPE": "NONE",
            "BACK_TYPE": "MANUAL", "BACK_VALUE": level, "BACKPHOTO_TYPE": "GLOBAL", "GAIN": 1.0, "GAIN_KEY": "NONE",
            "SATUR_LEVEL": saturation, "SATUR_KEY": "NONE", "PHOT_APERTURES": ",".join(str(2 * r) for r in APERTURES),
            "PHOT_AUTOPARAMS": "2.5,3.5", "PHOT_FLUXFRAC": 0.5, "VERBOSE_TYPE": "QUIET", **options,
        }
        arguments = [str(word) for pair in settings.items() for word in (f"-{pair[0]}", pair[1])]
        (folder / "default.sex").write_text("")
        subprocess.run(["source-extractor", "image.fits", "-c", "default.sex", *arguments], cwd=folder, check=True)
        return fits.getdata(folder / "catalogue.fits", 1)


def catalogue(data, level, noise, threshold, bad=(), saturation=SATURATION):
    """Two runs: neighbours replaced (as for FLUX_AUTO here and there), and not (as in our apertures)."""
    table = extracted(data, level, noise, threshold, bad, saturation, {"MASK_TYPE": "CORRECT"})
    plain = extracted(data, level, noise, threshold, bad, saturation, {"MASK_TYPE": "NONE"})
    assert (table["X_IMAGE_DBL"] == plain["X_IMAGE_DBL"]).all()

    def listed(values, digits=9):
        return [float(f"%.{digits}g" % value) for value in values]

    columns = {
        "x": listed(table["X_IMAGE_DBL"] - 1), "y": listed(table["Y_IMAGE_DBL"] - 1),
        "xx": listed(table["X2_IMAGE"]), "yy": listed(table["Y2_IMAGE"]), "xy": listed(table["XY_IMAGE"]),
        "a": listed(table["A_IMAGE"]), "b": listed(table["B_IMAGE"]), "theta": listed(np.radians(table["THETA_IMAGE"])),
        "pixels": [int(value) for value in table["ISOAREAF_IMAGE"]],
        "iso": listed(table["FLUX_ISO"], 8), "iso_error": listed(table["FLUXERR_ISO"], 8),
        "auto": listed(table["FLUX_AUTO"], 8), "auto_error": listed(table["FLUXERR_AUTO"], 8),
        "kron": listed(table["KRON_RADIUS"], 8), "half_light": listed(table["FLUX_RADIUS"], 8),
        "x_windowed": listed(table["XWIN_IMAGE"] - 1), "y_windowed": listed(table["YWIN_IMAGE"] - 1),
        "flags": [int(value) for value in table["FLAGS"]],
    }
    for place, radius in enumerate(APERTURES):
        columns[f"aperture_{radius:g}"] = listed(plain["FLUX_APER"][:, place], 8)
        columns[f"aperture_error_{radius:g}"] = listed(plain["FLUXERR_APER"][:, place], 8)
    return columns


def backgrounds():
    """A sloping sky with the field's stars: the maps of source-extractor and of sep."""
    stars = field()
    data = frame(stars, SLOPE_SHAPE, SLOPE_SKY, SLOPE, SLOPE_SEED)
    names = ["BACKGROUND", "BACKGROUND_RMS"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fits.writeto(folder / "image.fits", data)
        (folder / "default.sex").write_text("")
        (folder / "default.param").write_text("NUMBER\n")
        files = [f"{word}.fits" for word in names]
        subprocess.run(
            ["source-extractor", "image.fits", "-c", "default.sex", "-PARAMETERS_NAME", "default.param", "-FILTER", "N",
             "-BACK_SIZE", str(MESH), "-BACK_FILTERSIZE", "3", "-CHECKIMAGE_TYPE", ",".join(names),
             "-CHECKIMAGE_NAME", ",".join(files), "-VERBOSE_TYPE", "QUIET"],
            cwd=folder, check=True,
        )
        level, noise = (fits.getdata(folder / file).astype(float) for file in files)
    library = sep.Background(data, bw=MESH, bh=MESH)
    library_level, library_noise = library.back(), library.rms()
    samples = [(x, y) for y in range(3, SLOPE_SHAPE[0], 47) for x in range(5, SLOPE_SHAPE[1], 43)]
    return {
        "shape": SLOPE_SHAPE, "sky": SLOPE_SKY, "slope": SLOPE, "seed": SLOPE_SEED, "mesh": MESH,
        "samples": [
            [x, y, float(level[y, x]), float(noise[y, x]), float(library_level[y, x]), float(library_noise[y, x])]
            for x, y in samples
        ],
    }


def real(root):
    """A frame of galaxies, with a level and a noise for all of it; its weight map is flat."""
    folder = pathlib.Path(root) / "frames_misc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = fits.getdata(folder / "galaxies.fits").astype(np.float32)
        weight = fits.getdata(folder / "galaxies.weight.fits")
    bad = [(int(x), int(y)) for y, x in np.argwhere(weight == 0)]
    level = float(np.median(data))
    noise = round(1.4826 * float(np.median(np.abs(data - level))), 2)
    return {
        "level": level, "noise": noise, "threshold": 12.0, "saturation": 60000.0, "bad": len(bad),
        "catalogue": catalogue(data, level, noise, 12.0, bad, 60000.0),
    }


def whole_frames(root):
    """Real frames with source-extractor's own background: how many sources, and the brightest that are whole and lone."""
    found = {}
    for file, saturation in [("fram.fits", 60000.0), ("solved.fits.fz", 60000.0), ("galaxies.fits", 60000.0)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(pathlib.Path(root) / "frames_misc" / file) as units:
                data = next(unit.data for unit in units if unit.data is not None).astype(np.float32)
        options = {"WEIGHT_TYPE": "NONE", "BACK_TYPE": "AUTO", "BACK_SIZE": MESH, "BACK_FILTERSIZE": 3}
        table = extracted(data, 0.0, 1.0, THRESHOLD, (), saturation, options)
        lone = table[table["FLAGS"] == 0]
        bright = lone[np.argsort(-lone["FLUX_AUTO"])[:100]]
        columns = [bright["X_IMAGE_DBL"] - 1, bright["Y_IMAGE_DBL"] - 1, bright["FLUX_AUTO"], bright["FLUX_RADIUS"]]
        found[file] = {
            "count": len(table),
            "brightest": [[float(f"{value:.7g}") for value in row] for row in zip(*columns)],
        }
    return found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "../../../shared/data"
    stars = field()
    data = frame(stars, SHAPE, SKY, 0.0, SEED)
    noise = math.sqrt(SKY + READ_SQUARE)
    version = subprocess.run(["source-extractor", "-v"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "made_with": [(version.stdout + version.stderr).strip(), f"sep {sep.__version__}"],
        "shape": SHAPE, "fwhm": FWHM, "sky": SKY, "noise": noise, "seed": SEED,
        "threshold": THRESHOLD, "kernel_fwhm": KERNEL_FWHM, "apertures": APERTURES, "saturation": SATURATION,
        "stars": stars, "sum": float(data.astype(float).sum()),
        "catalogue": catalogue(data, SKY, noise, THRESHOLD),
        "masked_pixels": masked_pixels(),
        "masked_catalogue": catalogue(data, SKY, noise, THRESHOLD, masked_pixels()),
        "background": backgrounds(),
        "real": real(root),
        "frames": whole_frames(root),
    }))


main()
