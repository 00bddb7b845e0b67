/* Purpose: the coefficients of the approximations, lowest power first.
   Weighted near-minimax fits in 220-bit arithmetic, rounded from the lowest power up with the rest refitted. */
#ifndef IG_COEFFICIENTS_H
#define IG_COEFFICIENTS_H

/* e^r, |r| <= ln 2 / 2 */
#define IG_C_EXP_f32 IG_H7, \
  1.0f, 1.0f, 0x1.fffffcp-2f, 0x1.55548ap-3f, 0x1.5558a4p-5f, 0x1.123e54p-7f, 0x1.6a5cc4p-10f
#define IG_C_EXP_f64 IG_H12, \
  1.0, 1.0, 0x1.000000000000ap-1, 0x1.55555555554f8p-3, 0x1.5555555550754p-5, 0x1.111111112815dp-7, \
  0x1.6c16c1846fd46p-10, 0x1.a01a0129053dap-13, 0x1.a01999443e53bp-16, 0x1.71df270e8e7e5p-19, \
  0x1.28ae347eca743p-22, 0x1.ad7ea508450bap-26
/* (e^r - 1 - r) / r^2 */
#define IG_C_EXPM1_f32 IG_H5, \
  0x1.fffffep-2f, 0x1.5554a8p-3f, 0x1.5556d8p-5f, 0x1.122dbcp-7f, 0x1.6bf1d2p-10f
#define IG_C_EXPM1_f64 IG_H10, \
  0x1.0000000000005p-1, 0x1.5555555555539p-3, 0x1.55555555521f2p-5, 0x1.111111111919cp-7, \
  0x1.6c16c17f1293fp-10, 0x1.a01a017495591p-13, 0x1.a019a6bf8ff8cp-16, 0x1.71de88a2e85edp-19, \
  0x1.28a297c4baef6p-22, 0x1.ae6ba60f83e4dp-26
/* (log(1 + f) - f) / f^2, f in [-1/3, 1/3] */
#define IG_C_LOG_f32 IG_H9, \
  -0x1.000000p-1f, 0x1.5554fap-2f, -0x1.ffff94p-3f, 0x1.99d58cp-3f, -0x1.557e18p-3f, 0x1.1e81c6p-3f, \
  -0x1.f6bceap-4f, 0x1.20036ep-3f, -0x1.ff29eap-4f
/* the same, f in [-1/4, 1/2] */
#define IG_C_LOG1P_f32 IG_H9, \
  -0x1.000000p-1f, 0x1.5555acp-2f, -0x1.000082p-2f, 0x1.996708p-3f, -0x1.54d682p-3f, 0x1.287762p-3f, \
  -0x1.0e96b0p-3f, 0x1.b20d50p-4f, -0x1.797114p-5f
/* (atanh(s) / s - 1) 2 / z, z = s^2, s = f / (2 + f) */
#define IG_C_LOG_f64 IG_H8, \
  0x1.5555555555555p-1, 0x1.9999999999e0ep-2, 0x1.249249242a0bfp-2, 0x1.c71c725a6b724p-3, \
  0x1.745cddc2be830p-3, 0x1.3b20bf45d3f8bp-3, 0x1.0f5b0a8743c29p-3, 0x1.0f72fffa9a302p-3
/* log2(1 + f) / f to 2^-45, for pow in f32 */
#define IG_C_LOG2_f64 IG_H15, \
  0x1.71547652b8d21p+0, -0x1.715476528cbc6p-1, 0x1.ec709dba6b562p-2, -0x1.715476b10d57cp-2, \
  0x1.2776cab436b56p-2, -0x1.ec7067d26aa37p-3, 0x1.a614b8a2d2f88p-3, -0x1.715a0e42d8d94p-3, \
  0x1.4898bb9642cfep-3, -0x1.275377856a7bcp-3, 0x1.0818ca3be60bbp-3, -0x1.e655d07440525p-4, \
  0x1.02a723b3d6e5bp-3, -0x1.04c99d984e05cp-3, 0x1.12514ad3f42b6p-4
/* 2^r to 2^-45, |r| <= 1/2, for pow in f32 */
#define IG_C_EXP2_f64 IG_H8, \
  1.0, 0x1.62e42fef781c7p-1, 0x1.ebfbe07c88d8ep-3, 0x1.c6b08dfdde9c4p-5, 0x1.3b29ef2946a6bp-7, \
  0x1.5d8717be7ab9ep-10, 0x1.445ffdeb66b0fp-13, 0x1.00f94638c3e2dp-16
/* ((atanh(s) / s - 1) 2 / z - 2/3) / z */
#define IG_C_POWLOG_f64 IG_H9, \
  0x1.999999999999ap-2, 0x1.249249249246dp-2, 0x1.c71c71c722ba8p-3, 0x1.745d174159b3bp-3, \
  0x1.3b13b31ddc4fbp-3, 0x1.111091e6c6e83p-3, 0x1.e20c13661138bp-4, 0x1.aae24bda72adap-4, 0x1.c35fd732114ddp-4
/* (sin(r) / r - 1) / r^2, |r| <= pi / 4 */
#define IG_C_SIN_f32 IG_H3, \
  -0x1.555546p-3f, 0x1.110774p-7f, -0x1.9951fcp-13f
#define IG_C_SIN_f64 IG_H7, \
  -0x1.5555555555555p-3, 0x1.111111111110bp-7, -0x1.a01a01a018a6ap-13, 0x1.71de3a5330751p-19, \
  -0x1.ae64528d565bep-26, 0x1.61208c15ebc65p-33, -0x1.aaa21e101f27fp-41
/* (cos(r) - 1 + r^2 / 2) / r^4 */
#define IG_C_COS_f32 IG_H3, \
  0x1.55554ap-5f, -0x1.6c0c1ap-10f, 0x1.99e0eep-16f
#define IG_C_COS_f64 IG_H7, \
  0x1.5555555555555p-5, -0x1.6c16c16c16c1p-10, 0x1.a01a01a018d3ep-16, -0x1.27e4fb75f30dap-22, \
  0x1.1eed8c98d9e23p-29, -0x1.93932cc9b24f3p-37, 0x1.aac0ca7a24e4ep-45
/* (tan(r) / r - 1) / r^2 */
#define IG_C_TAN_f32 IG_H7, \
  0x1.555562p-2f, 0x1.110d32p-3f, 0x1.bae9fcp-5f, 0x1.5c2c5ep-6f, 0x1.65878ep-7f, 0x1.6ea23cp-23f, 0x1.218a92p-8f
#define IG_C_TAN_f64 IG_H15, \
  0x1.555555555555ep-2, 0x1.1111111110561p-3, 0x1.ba1ba1bac3f42p-5, 0x1.664f485c509a4p-6, 0x1.226e3a97b9234p-7, \
  0x1.d6d2e4a45e856p-9, 0x1.7db1b3058ea1ep-10, 0x1.34baefb79c3e1p-11, 0x1.ff3c3c15aa661p-13, 0x1.5e40230625822p-14, \
  0x1.1a4734a31f093p-14, -0x1.af6649251e6a3p-16, 0x1.986c2878f9b36p-15, -0x1.9791d3b7a300fp-16, 0x1.48e64f5829e7dp-17
/* (asin(s) / s - 1) / s^2, s^2 <= 1/4 */
#define IG_C_ASIN_f32 IG_H5, \
  0x1.5555cap-3f, 0x1.3301a4p-4f, 0x1.7481d8p-5f, 0x1.8c1492p-6f, 0x1.596e86p-5f
#define IG_C_ASIN_f64 IG_H14, \
  0x1.5555555555553p-3, 0x1.3333333333a38p-4, 0x1.6db6db6d494b2p-5, 0x1.f1c71ca7d95b4p-6, \
  0x1.6e8b9b0105e53p-6, 0x1.1c4f840bd4a31p-6, 0x1.c9810cfc585bcp-7, 0x1.7ba266f4c0473p-7, \
  0x1.36d0026765bd8p-7, 0x1.47c84dc899f41p-7, 0x1.718fa114ffe2bp-11, 0x1.95ee8af8c2c7cp-6, \
  -0x1.ab5e1d42bc987p-6, 0x1.134dd28d679bp-5
/* (atan(u) / u - 1) / u^2, |u| <= tan(pi / 8) */
#define IG_C_ATAN_f32 IG_H5, \
  -0x1.555548p-2f, 0x1.999128p-3f, -0x1.23ae58p-3f, 0x1.b194bp-4f, -0x1.f0665cp-5f
#define IG_C_ATAN_f64 IG_H14, \
  -0x1.5555555555555p-2, 0x1.9999999999997p-3, -0x1.249249249230cp-3, 0x1.c71c71c70a897p-4, \
  -0x1.745d1741e8486p-4, 0x1.3b13b0ad26be5p-4, -0x1.1111034c0f1b4p-4, 0x1.e1dffe4d2649fp-5, \
  -0x1.af10887128d78p-5, 0x1.853d3e8b7969cp-5, -0x1.5e7eeabafc49bp-5, 0x1.2cd6016b2e752p-5, \
  -0x1.aee913dd2d971p-6, 0x1.6ccb6db24db27p-7
/* -log(erfc(t)) / t - 1 in powers of -t */
#define IG_C_ERF_f32 IG_H9, \
  0x1.06eba8p-3f, -0x1.45f300p-1f, 0x1.a4f8c4p-4f, 0x1.39b7c4p-6f, -0x1.638656p-13f, -0x1.b7470cp-10f, \
  -0x1.4e2ca0p-11f, -0x1.f29274p-14f, -0x1.3b09e8p-17f
#define IG_C_ERF_f64 IG_H23, \
  0x1.06eba8214db66p-3, -0x1.45f306dc9c98ap-1, 0x1.a4f4e2a195b8fp-4, 0x1.3966858970bbfp-6, \
  -0x1.b6b6cd7095a6fp-13, -0x1.bca6bb2ec5024p-10, -0x1.3567dd5421d86p-11, -0x1.b3548d6655c4fp-16, \
  0x1.0dba51108fbadp-14, 0x1.ec83253702c94p-16, 0x1.7d3259c832572p-19, -0x1.d8313bae7bc5cp-19, \
  -0x1.40fde4056e288p-19, -0x1.bd1e9cd700568p-21, -0x1.5b175d4b1500bp-23, -0x1.d57c610177136p-29, \
  0x1.4027c5ea445d9p-27, 0x1.e3ab6c15d40dep-29, 0x1.9a92dede1f113p-31, 0x1.c9b4b135739e0p-34, \
  0x1.4dea03dfca9b6p-37, 0x1.237049b59f778p-41, 0x1.cfa39b84eaff9p-47
/* (1 + 2 a) e^(a^2) erfc(a) in u = (a - 2) / (a + 2); f64: (a - 4) / (a + 4) */
#define IG_C_ERFC_f32 IG_H11, \
  0x1.46e80ep+0f, -0x1.7bf604p-4f, -0x1.5407fcp-3f, 0x1.4ffb68p-3f, -0x1.bc140cp-5f, -0x1.07c3a8p-7f, \
  0x1.1b5b12p-7f, 0x1.51bd56p-10f, -0x1.49ab5p-10f, -0x1.8e5b78p-12f, 0x1.55ffd2p-16f
#define IG_C_ERFC_f64 IG_H22, \
  0x1.3ba5916e9fd7fp+0, -0x1.1df1ad154a29ep-3, 0x1.f7f5df66fb8e7p-7, 0x1.16ecefcfa6139p-4, \
  -0x1.9ddb23c3dbfa5p-4, 0x1.7fee004df7ccdp-4, -0x1.0fb06dff6143p-4, 0x1.3079edf94b4f8p-5, \
  -0x1.096238548ccafp-6, 0x1.49c671ef63c2bp-8, -0x1.8d4ac1692f283p-11, -0x1.a1dee475ea771p-13, \
  0x1.3be2c01cb44acp-13, -0x1.995bcf4d4ffbcp-16, -0x1.78ed1fa889d25p-17, 0x1.7f13de0e8aeadp-18, \
  0x1.4f10361d0589fp-22, -0x1.b80cf389796c1p-21, 0x1.e82ddf78803fap-25, 0x1.b4c71ab08eaf3p-24, \
  -0x1.29c9f809ba8dfp-27, -0x1.2820fdec355b9p-27

/* 2 / pi in words of 64 bits, after the binary point. */
IG_TABLE uint64_t ig_two_over_pi[21] = {
  0xa2f9836e4e441529ull, 0xfc2757d1f534ddc0ull, 0xdb6295993c439041ull, 0xfe5163abdebbc561ull,
  0xb7246e3a424dd2e0ull, 0x06492eea09d1921cull, 0xfe1deb1cb129a73eull, 0xe88235f52ebb4484ull,
  0xe99c7026b45f7e41ull, 0x3991d639835339f4ull, 0x9c845f8bbdf9283bull, 0x1ff897ffde05980full,
  0xef2f118b5a0a6d1full, 0x6d367ecf27cb09b7ull, 0x4f463f669e5fea2dull, 0x7527bac7ebe5f17bull,
  0x3d0739f78a5292eaull, 0x6bfb5fb11f8d5d08ull, 0x56033046fc7b6babull, 0xf0cfbc209af4361dull,
  0xa9e391615ee61b08ull
};

#endif
