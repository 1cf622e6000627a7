/* Writes the JPEG files that Pillow reads but cannot write: unusual sampling, YCCK, inks without Adobe's marker, arithmetic coding,
   restart intervals in all of them.   cc write_odd_jpegs.c -ljpeg && ./a.out DIR */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>

enum { kWidth = 37, kHeight = 29 };

struct Odd {
  const char* name;
  J_COLOR_SPACE in, stored;
  int sampling[4][2]; /* horizontal, vertical, of each component */
  int adobe, progressive, arithmetic, restart;
};

static const struct Odd kOdd[] = {
    {"sampling_1x2", JCS_RGB, JCS_YCbCr, {{1, 2}, {1, 1}, {1, 1}}, 0, 0, 0, 0},
    {"sampling_4x1", JCS_RGB, JCS_YCbCr, {{4, 1}, {1, 1}, {1, 1}}, 0, 0, 0, 0},
    {"sampling_1x4", JCS_RGB, JCS_YCbCr, {{1, 4}, {1, 1}, {1, 1}}, 0, 0, 0, 0},
    {"sampling_4x2", JCS_RGB, JCS_YCbCr, {{4, 2}, {1, 1}, {1, 1}}, 0, 1, 0, 0},
    {"sampling_2x4", JCS_RGB, JCS_YCbCr, {{2, 4}, {1, 1}, {1, 1}}, 0, 0, 0, 0},
    {"sampling_3x1", JCS_RGB, JCS_YCbCr, {{3, 1}, {1, 1}, {1, 1}}, 0, 0, 0, 0},
    {"sampling_mixed", JCS_RGB, JCS_YCbCr, {{2, 2}, {2, 1}, {1, 2}}, 0, 0, 0, 2},
    {"sampling_chroma_larger", JCS_RGB, JCS_YCbCr, {{1, 1}, {2, 2}, {2, 2}}, 0, 0, 0, 0},
    {"rgb_stored", JCS_RGB, JCS_RGB, {{1, 1}, {1, 1}, {1, 1}}, 1, 0, 0, 0},
    {"cmyk_adobe", JCS_CMYK, JCS_CMYK, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, 0, 0, 0},
    {"cmyk_plain", JCS_CMYK, JCS_CMYK, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 0, 0, 0, 3},
    {"ycck", JCS_CMYK, JCS_YCCK, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, 0, 0, 0},
    {"ycck_2x2", JCS_CMYK, JCS_YCCK, {{2, 2}, {1, 1}, {1, 1}, {2, 2}}, 1, 0, 0, 0},
    {"ycck_progressive", JCS_CMYK, JCS_YCCK, {{2, 1}, {1, 1}, {1, 1}, {2, 1}}, 1, 1, 0, 0},
    {"arithmetic", JCS_RGB, JCS_YCbCr, {{2, 2}, {1, 1}, {1, 1}}, 0, 0, 1, 0},
    {"arithmetic_progressive", JCS_RGB, JCS_YCbCr, {{2, 1}, {1, 1}, {1, 1}}, 0, 1, 1, 2},
    {"grey_sampled", JCS_GRAYSCALE, JCS_GRAYSCALE, {{2, 2}}, 0, 0, 0, 1},
    {"restart_progressive", JCS_RGB, JCS_YCbCr, {{2, 2}, {1, 1}, {1, 1}}, 0, 1, 0, 1},
};

int main(int argc, char** argv) {
  unsigned state = 12345;
  if (argc != 2) return 2;
  for (size_t k = 0; k < sizeof kOdd / sizeof *kOdd; ++k) {
    const struct Odd* odd = &kOdd[k];
    char path[4096];
    unsigned char row[kWidth * 4];
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE* file;
    int y, x, c, n = odd->in == JCS_CMYK ? 4 : odd->in == JCS_GRAYSCALE ? 1 : 3;
    snprintf(path, sizeof path, "%s/odd_%s.jpg", argv[1], odd->name);
    file = fopen(path, "wb");
    if (!file) return perror(path), 1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = kWidth, jpeg.image_height = kHeight, jpeg.input_components = n, jpeg.in_color_space = odd->in;
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, odd->stored);
    jpeg_set_quality(&jpeg, 60 + (int)k, TRUE);
    for (c = 0; c < n; ++c) jpeg.comp_info[c].h_samp_factor = odd->sampling[c][0], jpeg.comp_info[c].v_samp_factor = odd->sampling[c][1];
    jpeg.write_Adobe_marker = odd->adobe;
    jpeg.write_JFIF_header = !odd->adobe && n != 4;
    jpeg.arith_code = odd->arithmetic, jpeg.restart_interval = (unsigned)odd->restart;
    if (odd->progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (y = 0; y < kHeight; ++y) {
      JSAMPROW rows = row;
      for (x = 0; x < kWidth; ++x)
        for (c = 0; c < n; ++c) {
          state = state * 1664525u + 1013904223u;
          row[x * n + c] = (unsigned char)((x * (5 + c) + y * (9 - 2 * c) + (int)(state >> 27) + (x > y ? 80 : 0)) & 255);
        }
      jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
  }
  return 0;
}
