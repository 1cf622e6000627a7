"""Small PNG and JPEG files of every kind that Pillow writes or reads, and the RGB that Pillow makes of them.

    python make_image_goldens.py OUT [SEED [SCALE]]        (Pillow 13.0; a C compiler and libjpeg for the files that Pillow cannot write)

OUT gets the files, `expected.txt` with one line a reading (file, exif apply or ignore, width, height, position in expected.rgb), and
`expected.rgb`, the readings one after the other, equal ones once. Files that Pillow refuses stand with width 0.
`resized.txt`, `resized_lanczos.txt`: width, height, new width, new height, SHA-256 of Pillow's bicubic and Lanczos resize. `preprocessed.txt`: width, height, S, pad or
square, SHA-256 of the normalised float32 [3, S, S]. Their sources are `noise(width, height)`, which the tests repeat.
SCALE makes the pictures larger: the project keeps scale 1, larger ones are for a wider comparison.
"""
import hashlib
import io
import pathlib
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

warnings.simplefilter("ignore")
out = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 7)
scale = int(sys.argv[3]) if len(sys.argv) > 3 else 1
out.mkdir(parents=True, exist_ok=True)


def extent(w, h):
    return (w * scale + (int(rng.integers(0, 8)) if scale > 1 else 0), h * scale + (int(rng.integers(0, 8)) if scale > 1 else 0))


def picture(w, h, channels):
    """Waves, an edge and some noise, so that both smooth and sharp places are there."""
    y, x = np.mgrid[0:h, 0:w]
    waves = [np.sin((x * (2 + c) + y * (4 - c)) / (5 + c)) for c in range(channels)]
    planes = [128 + 90 * wave + 60 * (x > y) + rng.normal(0, 12, (h, w)) for wave in waves]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def image(mode, w=13, h=11):
    w, h = extent(w, h)
    if mode == "1":
        return Image.fromarray(picture(w, h, 1)[..., 0]).convert("1")
    if mode == "P":
        return Image.fromarray(picture(w, h, 3)).quantize(37)
    if mode == "I;16":
        return Image.fromarray((picture(w, h, 1)[..., 0].astype(np.uint16) * 5))
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    pixels = picture(w, h, bands)
    return Image.frombytes(mode, (w, h), pixels.tobytes())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(colour, depth, interlaced, w=13, h=11, extra=b"", idat_pieces=1):
    """A PNG of random samples and random row filters: combinations that Pillow reads but does not write."""
    w, h = extent(w, h)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    adam7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    passes = adam7 if interlaced else [(0, 0, 1, 1)]
    rows = b""
    for x0, y0, dx, dy in passes:
        pw, ph = -(-(w - x0) // dx), -(-(h - y0) // dy)
        for _ in range(ph if pw > 0 and ph > 0 else 0):
            rows += bytes([rng.integers(0, 5)]) + rng.integers(0, 256, (pw * channels * depth + 7) // 8, np.uint8).tobytes()
    packed = zlib.compress(rows)
    cut = [len(packed) * i // idat_pieces for i in range(idat_pieces + 1)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlaced)))
    palette = chunk(b"PLTE", rng.integers(0, 256, 3 * min(256, 2**depth), np.uint8).tobytes()) if colour == 3 else b""
    data = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in zip(cut, cut[1:]))
    return b"\x89PNG\r\n\x1a\n" + head + extra + palette + data + chunk(b"IEND", b"")


def save(name, img, **options):
    img.save(out / name, **options)


def exif_bytes(orientation, order="MM", kind="H", before=b"", count=1):
    """A TIFF directory with the orientation as a number of any type."""
    e = ">" if order == "MM" else "<"
    types = {"B": 1, "H": 3, "I": 4, "b": 6, "h": 8, "i": 9, "f": 11, "d": 12}
    value = struct.pack(e + kind, orientation) * count
    entries = [struct.pack(e + "HHI", 0x010F, 2, 4) + b"abc\0"] + ([before] if before else [])
    at = 8 + 2 + 12 * (len(entries) + 1) + 4
    stored = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(e + "I", at)
    entries.append(struct.pack(e + "HHI", 0x0112, types[kind], count) + stored)
    tiff = order.encode() + struct.pack(e + "HI", 42, 8) + struct.pack(e + "H", len(entries)) + b"".join(entries) + struct.pack(e + "I", 8)
    return tiff + (value if len(value) > 4 else b"")


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def write_pngs():
    for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        tag = mode.replace(";", "")
        save(f"mode_{tag}.png", image(mode))
        save(f"mode_{tag}_optimized.png", image(mode, 1, 1), optimize=True)
        save(f"mode_{tag}_stored.png", image(mode, 3, 17), compress_level=0)
    for bits, colours in ((1, 2), (2, 4), (4, 16), (8, 256)):
        save(f"palette_{bits}.png", Image.fromarray(picture(*extent(15, 9), 3)).quantize(colours), bits=bits)
    save("transparency_L.png", image("L"), transparency=128)
    save("transparency_RGB.png", image("RGB"), transparency=(10, 20, 30))
    save("transparency_P_one.png", image("P"), transparency=3)
    save("transparency_P_many.png", image("P"), transparency=bytes(range(0, 222, 6)))
    save("transparency_1.png", image("1"), transparency=0)
    save("transparency_I16.png", image("I;16"), transparency=300)
    save("profile_dpi.png", image("RGB"), icc_profile=bytes(range(200)), dpi=(300, 300))
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "text " * 40, zip=True)
    info.add_text("Author", "somebody")
    info.add_itxt("Comment", "é" * 30, "fr", "Commentaire", zip=True)
    save("texts.png", image("RGB"), pnginfo=info)
    frames = [image("RGB", 8, 8).resize((8, 8)) for _ in range(3)]
    frames[0].save(out / "animated.png", save_all=True, append_images=frames[1:])
    frames[0].save(out / "animated_default.png", save_all=True, append_images=frames[1:], default_image=True)
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            for interlaced in (False, True):
                (out / f"raw_{colour}_{depth}{'_interlaced' * interlaced}.png").write_bytes(raw_png(colour, depth, interlaced))
    for w, h in ((1, 1), (2, 3), (5, 1), (1, 9)):
        (out / f"raw_interlaced_{w}x{h}.png").write_bytes(raw_png(2, 8, True, w, h))
    (out / "gamma.png").write_bytes(raw_png(2, 8, False, extra=chunk(b"gAMA", struct.pack(">I", 30000)) + chunk(b"sRGB", b"\0")))
    (out / "many_idat.png").write_bytes(raw_png(6, 8, False, idat_pieces=9))
    head, rest = raw_png(3, 8, False)[:33], raw_png(3, 8, False)[33 + 12 + 768:]
    (out / "short_palette.png").write_bytes(head + chunk(b"PLTE", bytes(range(30))) + rest)
    for n in range(1, 9):
        save(f"exif_{n}.png", image("RGB", 7, 5), exif=exif_bytes(n, "II" if n % 2 else "MM"))
    for kind, key in [(kind, key) for key in ("Raw profile type exif", "XML:com.adobe.xmp") for kind in (False, True)]:
        info = PngImagePlugin.PngInfo()
        profile = exif_bytes(8)
        info.add_text(key, XMP if "XML" in key else f"\nexif\n{len(profile):8}\n{profile.hex()[:30]}\n{profile.hex()[30:]}\n", zip=kind)
        save(f"exif_in_text_{'xmp' if 'XML' in key else 'raw'}{'_packed' * kind}.png", image("RGB", 7, 5), pnginfo=info)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP, zip=True)
    save("exif_in_itxt.png", image("RGB", 7, 5), pnginfo=info, exif=exif_bytes(1)[:10])
    info = PngImagePlugin.PngInfo()
    info.add(b"eXIf", exif_bytes(3), True)
    save("exif_after_data.png", image("RGB", 7, 5), pnginfo=info)


def write_jpegs():
    for mode in ("1", "L", "RGB", "CMYK"):
        for quality in (1, 50, 75, 100):
            save(f"{mode}_{quality}.jpg", image(mode, 19, 21), quality=quality)
        save(f"{mode}_progressive.jpg", image(mode, 35, 18), progressive=True, quality=80)
        save(f"{mode}_optimized.jpg", image(mode, 8, 8), optimize=True)
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for w, h in ((1, 1), (17, 33), (40, 31)):
            name = f"sampling_{sampling.replace(':', '')}_{w}x{h}.jpg"
            save(name, image("RGB", w, h), subsampling=sampling, quality=85, progressive=w == 40)
    save("restart_blocks.jpg", image("RGB", 50, 20), restart_marker_blocks=1)
    save("restart_rows.jpg", image("RGB", 50, 40), restart_marker_rows=1)
    save("keep_rgb.jpg", image("RGB", 20, 20), keep_rgb=True)
    save("smooth.jpg", image("RGB", 20, 20), smooth=50)
    save("web_low.jpg", image("RGB", 20, 20), quality="web_low")
    save("qtables.jpg", image("RGB", 20, 20), qtables=[[3] * 64, [9] * 64])
    commented = image("RGB", 20, 20)
    save("comment_profile.jpg", commented, comment=b"a comment", icc_profile=bytes(rng.integers(0, 256, 3000, np.uint8)), dpi=(72, 72))
    for n in range(1, 9):
        save(f"exif_{n}.jpg", image("RGB", 21, 13), exif=b"Exif\0\0" + exif_bytes(n, "MM" if n % 2 else "II"))
    for kind in "BIbhifd":
        save(f"exif_type_{'small_' * kind.islower()}{kind.lower()}.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(6, kind=kind))
    for n in (0, 9, 300):
        save(f"exif_value_{n}.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(n))
    save("exif_two_values.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(6, count=3))
    outside = struct.pack(">HHI", 0x0110, 2, 50) + struct.pack(">I", 5)
    save("exif_value_outside.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(6, before=outside))
    save("exif_count_huge.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(6, before=struct.pack(">HHII", 0x0110, 2, 2**31, 5)))
    save("exif_type_unknown.jpg", image("RGB", 10, 6), exif=b"Exif\0\0" + exif_bytes(6, before=struct.pack(">HHII", 0x0110, 77, 1, 5)))
    save("exif_twice_marked.jpg", image("RGB", 10, 6), exif=b"Exif\0\0Exif\0\0" + exif_bytes(8))
    body = io.BytesIO()
    image("RGB", 10, 6).save(body, "JPEG")
    app1 = lambda data: b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    whole = exif_bytes(5)
    start, rest = body.getvalue()[:2], body.getvalue()[2:]
    (out / "exif_in_two_blocks.jpg").write_bytes(start + app1(b"Exif\0\0" + whole[:20]) + app1(b"Exif\0\0" + whole[20:]) + rest)
    (out / "exif_two_whole_blocks.jpg").write_bytes(start + app1(b"Exif\0\0" + exif_bytes(3)) + app1(b"Exif\0\0" + exif_bytes(6)) + rest)
    packet = b"http://ns.adobe.com/xap/1.0/\0"
    (out / "xmp.jpg").write_bytes(start + app1(packet + XMP.encode()) + rest)
    (out / "xmp_element.jpg").write_bytes(start + app1(packet + b"<tiff:Orientation>3</tiff:Orientation>") + rest)
    (out / "filled_markers.jpg").write_bytes(start + b"\xff\xff" + rest)
    (out / "bytes_behind.jpg").write_bytes(body.getvalue() + b"anything at all")
    with tempfile.TemporaryDirectory() as work:
        here = pathlib.Path(__file__).parent
        subprocess.run(["cc", str(here / "write_odd_jpegs.c"), "-o", work + "/odd", "-ljpeg"], check=True)
        subprocess.run([work + "/odd", str(out)], check=True)


write_pngs()
write_jpegs()
places, pixels, lines = {}, bytearray(), []
for path in sorted(out.glob("*.*g")):
    for exif in ("ignore", "apply"):
        try:
            img = Image.open(path)
            img = (ImageOps.exif_transpose(img) if exif == "apply" else img).convert("RGB")
            data, (w, h) = img.tobytes(), img.size
        except Exception:
            data, w, h = b"", 0, 0
        if data not in places:
            places[data] = len(pixels)
            pixels += data
        lines.append(f"{path.name} {exif} {w} {h} {places[data]}")
(out / "expected.txt").write_text("\n".join(lines) + "\n")
(out / "expected.rgb").write_bytes(pixels)


def noise(w, h):
    """RGB bytes from a linear congruential generator that starts at 1: the upper eight of 32 bits."""
    state, data = 1, bytearray()
    for _ in range(3 * w * h):
        state = (state * 1664525 + 1013904223) % 2**32
        data.append(state >> 24)
    return Image.frombytes("RGB", (w, h), bytes(data))


BICUBIC = Image.Resampling.BICUBIC
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
extents = [(5, 3, 3, 5), (3, 5, 5, 3), (17, 9, 17, 4), (17, 9, 6, 9), (40, 30, 40, 30), (64, 64, 224, 224), (200, 200, 64, 64),
           (1, 1, 9, 7), (90, 7, 11, 70), (7, 90, 70, 11), (100, 40, 33, 44), (40, 100, 44, 33), (1, 120, 7, 24), (120, 1, 24, 7),
           (2, 200, 3, 199)]
# Around the place where Pillow begins to resize the columns first: the height shrinks by more than twice what the width shrinks by.
extents += [(30, 60 + d, 20, 40) for d in (-1, 0, 1)] + [(10, 30, 25, 20)]
extents += [(20, 41 + d, 20 - k, 40 - 2 * k) for d in (-1, 0, 1) for k in (1, 5)]
for file, resample in ("resized.txt", BICUBIC), ("resized_lanczos.txt", Image.Resampling.LANCZOS):
    lines = []
    for w, h, new_w, new_h in extents:
        lines.append(f"{w} {h} {new_w} {new_h} {hashlib.sha256(noise(w, h).resize((new_w, new_h), resample).tobytes()).hexdigest()}")
    (out / file).write_text("\n".join(lines) + "\n")
lines = []
for w, h in ((50, 50), (61, 40), (40, 61), (7, 64), (64, 7), (150, 149), (33, 120), (120, 33), (1, 1), (300, 20)):
    for side, aspect in ((32, "pad"), (64, "square"), (56, "pad"), (48, "square")):
        img = noise(w, h)
        if aspect == "pad" and w != h:
            canvas = Image.new("RGB", (max(w, h), max(w, h)), tuple(int(255 * m) for m in MEAN))
            canvas.paste(img, ((canvas.width - w) // 2, (canvas.height - h) // 2))
            img = canvas
        other = side * max(img.size) // min(img.size)
        img = img.resize((side, other) if img.width <= img.height else (other, side), BICUBIC)
        left, top = (img.width - side) // 2, (img.height - side) // 2
        levels = np.asarray(img.crop((left, top, left + side, top + side)))
        values = ((levels * (1 / 255)).astype(np.float32) - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
        digest = hashlib.sha256(np.ascontiguousarray(values.transpose(2, 0, 1)).tobytes()).hexdigest()
        lines.append(f"{w} {h} {side} {aspect} {digest}")
(out / "preprocessed.txt").write_text("\n".join(lines) + "\n")
