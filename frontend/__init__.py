"""intaglio: trace a model into one file that runs, trains, resumes and explains itself.

The root is lazy: a name is imported from its home module on first use, since a server that imports
only `intaglio.runtime` executes this file too and should load nothing else of the front end.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers see: written from the table below by
    # pytest tests/project/test_root.py --update-golden

    from intaglio import (
        amp as amp,
        autograd as autograd,
        backends as backends,
        cuda as cuda,
        data as data,
        func as func,
        linalg as linalg,
        masked as masked,
        multiprocessing as multiprocessing,
        nn as nn,
        optim as optim,
        random as random,
        signal as signal,
        special as special,
        utils as utils,
    )
    from intaglio._checkpoint import (
        CheckpointError as CheckpointError,
        load_checkpoint as load_checkpoint,
        save_checkpoint as save_checkpoint,
    )
    from intaglio._compare import compare as compare
    from intaglio._compile import compile as compile
    from intaglio._constants import (
        e as e,
        inf as inf,
        nan as nan,
        newaxis as newaxis,
        pi as pi,
    )
    from intaglio._constructors import (
        BFloat16Tensor as BFloat16Tensor,
        BoolTensor as BoolTensor,
        ByteTensor as ByteTensor,
        CharTensor as CharTensor,
        DoubleTensor as DoubleTensor,
        FloatTensor as FloatTensor,
        HalfTensor as HalfTensor,
        IntTensor as IntTensor,
        LongTensor as LongTensor,
        ShortTensor as ShortTensor,
    )
    from intaglio._core import (
        Parameter as Parameter,
        is_tensor as is_tensor,
    )
    from intaglio._custom import custom_vjp as custom_vjp
    from intaglio._debug import debug_print as debug_print
    from intaglio._device_names import device as device
    from intaglio._dtype_names import (
        bool as bool,
        double as double,
        dtype as dtype,
        finfo as finfo,
        float as float,
        half as half,
        iinfo as iinfo,
        int as int,
        long as long,
        short as short,
    )
    from intaglio._extend import (
        c_op as c_op,
        custom_op as custom_op,
        numpy_op as numpy_op,
    )
    from intaglio._functions_calculus import (
        cumulative_trapezoid as cumulative_trapezoid,
        diff as diff,
        gradient as gradient,
        trapezoid as trapezoid,
        trapz as trapz,
    )
    from intaglio._functions_compare import (
        allclose as allclose,
        bitwise_and as bitwise_and,
        bitwise_left_shift as bitwise_left_shift,
        bitwise_not as bitwise_not,
        bitwise_or as bitwise_or,
        bitwise_right_shift as bitwise_right_shift,
        bitwise_xor as bitwise_xor,
        eq as eq,
        equal as equal,
        ge as ge,
        greater as greater,
        greater_equal as greater_equal,
        gt as gt,
        isclose as isclose,
        le as le,
        less as less,
        less_equal as less_equal,
        logical_and as logical_and,
        logical_not as logical_not,
        logical_or as logical_or,
        logical_xor as logical_xor,
        lt as lt,
        ne as ne,
        not_equal as not_equal,
    )
    from intaglio._functions_complex import (
        complex as complex,
        polar as polar,
        view_as_complex as view_as_complex,
        view_as_real as view_as_real,
    )
    from intaglio._functions_convolution import (
        conv1d as conv1d,
        conv2d as conv2d,
        conv3d as conv3d,
        conv_transpose1d as conv_transpose1d,
        conv_transpose2d as conv_transpose2d,
        conv_transpose3d as conv_transpose3d,
    )
    from intaglio._functions_copies import (
        alias_copy as alias_copy,
        as_strided_copy as as_strided_copy,
        detach_copy as detach_copy,
        diagonal_copy as diagonal_copy,
        expand_copy as expand_copy,
        fill as fill,
        narrow_copy as narrow_copy,
        permute_copy as permute_copy,
        select_copy as select_copy,
        select_scatter as select_scatter,
        slice as slice,
        slice_copy as slice_copy,
        slice_scatter as slice_scatter,
        split_copy as split_copy,
        split_with_sizes as split_with_sizes,
        split_with_sizes_copy as split_with_sizes_copy,
        squeeze_copy as squeeze_copy,
        t_copy as t_copy,
        transpose_copy as transpose_copy,
        unbind_copy as unbind_copy,
        unfold_copy as unfold_copy,
        unsafe_chunk as unsafe_chunk,
        unsafe_split as unsafe_split,
        unsafe_split_with_sizes as unsafe_split_with_sizes,
        unsqueeze_copy as unsqueeze_copy,
        view_copy as view_copy,
    )
    from intaglio._functions_create import (
        as_tensor as as_tensor,
        asarray as asarray,
        empty as empty,
        empty_like as empty_like,
        empty_permuted as empty_permuted,
        empty_strided as empty_strided,
        from_dlpack as from_dlpack,
        from_numpy as from_numpy,
        frombuffer as frombuffer,
        full as full,
        full_like as full_like,
        ones as ones,
        ones_like as ones_like,
        scalar_tensor as scalar_tensor,
        tensor as tensor,
        zeros as zeros,
        zeros_like as zeros_like,
    )
    from intaglio._functions_data import (
        argwhere as argwhere,
        bincount as bincount,
        masked_select as masked_select,
        nonzero as nonzero,
        nonzero_static as nonzero_static,
        unique as unique,
        unique_consecutive as unique_consecutive,
    )
    from intaglio._functions_diagonal import (
        diag as diag,
        diag_embed as diag_embed,
        diagflat as diagflat,
        diagonal as diagonal,
        diagonal_scatter as diagonal_scatter,
        tril as tril,
        tril_indices as tril_indices,
        triu as triu,
        triu_indices as triu_indices,
    )
    from intaglio._functions_elementwise import (
        abs as abs,
        absolute as absolute,
        acos as acos,
        add as add,
        addcdiv as addcdiv,
        addcmul as addcmul,
        arccos as arccos,
        arcsin as arcsin,
        arctan as arctan,
        arctan2 as arctan2,
        asin as asin,
        atan as atan,
        atan2 as atan2,
        ceil as ceil,
        clamp as clamp,
        clamp_max as clamp_max,
        clamp_min as clamp_min,
        clip as clip,
        copysign as copysign,
        cos as cos,
        cosh as cosh,
        deg2rad as deg2rad,
        div as div,
        divide as divide,
        erf as erf,
        erfc as erfc,
        exp as exp,
        exp2 as exp2,
        expm1 as expm1,
        fix as fix,
        float_power as float_power,
        floor as floor,
        floor_divide as floor_divide,
        fmax as fmax,
        fmin as fmin,
        fmod as fmod,
        frac as frac,
        isfinite as isfinite,
        isinf as isinf,
        isnan as isnan,
        lerp as lerp,
        log as log,
        log10 as log10,
        log1p as log1p,
        log2 as log2,
        logit as logit,
        maximum as maximum,
        minimum as minimum,
        mul as mul,
        multiply as multiply,
        nan_to_num as nan_to_num,
        neg as neg,
        negative as negative,
        positive as positive,
        pow as pow,
        rad2deg as rad2deg,
        reciprocal as reciprocal,
        relu as relu,
        remainder as remainder,
        round as round,
        rsqrt as rsqrt,
        rsub as rsub,
        sgn as sgn,
        sigmoid as sigmoid,
        sign as sign,
        sin as sin,
        sinh as sinh,
        sqrt as sqrt,
        square as square,
        stop_gradient as stop_gradient,
        sub as sub,
        subtract as subtract,
        tan as tan,
        tanh as tanh,
        true_divide as true_divide,
        trunc as trunc,
        where as where,
    )
    from intaglio._functions_gather import (
        gather as gather,
        index_add as index_add,
        index_copy as index_copy,
        index_fill as index_fill,
        index_select as index_select,
        masked_fill as masked_fill,
        put as put,
        take as take,
        take_along_dim as take_along_dim,
        take_rows as take_rows,
        unravel_index as unravel_index,
    )
    from intaglio._functions_histogram import (
        histc as histc,
        histogram as histogram,
        histogramdd as histogramdd,
    )
    from intaglio._functions_in_place import (
        abs_ as abs_,
        acos_ as acos_,
        acosh_ as acosh_,
        addmv_ as addmv_,
        arccos_ as arccos_,
        arccosh_ as arccosh_,
        arcsin_ as arcsin_,
        arcsinh_ as arcsinh_,
        arctan_ as arctan_,
        arctanh_ as arctanh_,
        as_strided_ as as_strided_,
        asin_ as asin_,
        asinh_ as asinh_,
        atan_ as atan_,
        atanh_ as atanh_,
        ceil_ as ceil_,
        clamp_ as clamp_,
        clamp_max_ as clamp_max_,
        clamp_min_ as clamp_min_,
        clip_ as clip_,
        conj_physical_ as conj_physical_,
        cos_ as cos_,
        cosh_ as cosh_,
        deg2rad_ as deg2rad_,
        detach_ as detach_,
        erf_ as erf_,
        erfc_ as erfc_,
        exp_ as exp_,
        exp2_ as exp2_,
        expm1_ as expm1_,
        fill_ as fill_,
        fix_ as fix_,
        floor_ as floor_,
        frac_ as frac_,
        gcd_ as gcd_,
        i0_ as i0_,
        index_put_ as index_put_,
        lcm_ as lcm_,
        ldexp_ as ldexp_,
        log_ as log_,
        log10_ as log10_,
        log1p_ as log1p_,
        log2_ as log2_,
        logit_ as logit_,
        nan_to_num_ as nan_to_num_,
        neg_ as neg_,
        negative_ as negative_,
        rad2deg_ as rad2deg_,
        reciprocal_ as reciprocal_,
        resize_as_ as resize_as_,
        round_ as round_,
        rsqrt_ as rsqrt_,
        sigmoid_ as sigmoid_,
        sin_ as sin_,
        sinc_ as sinc_,
        sinh_ as sinh_,
        sqrt_ as sqrt_,
        square_ as square_,
        tan_ as tan_,
        tanh_ as tanh_,
        trunc_ as trunc_,
        xlogy_ as xlogy_,
        zero_ as zero_,
    )
    from intaglio._functions_index import index_put as index_put
    from intaglio._functions_interchange import (
        from_file as from_file,
        to_dlpack as to_dlpack,
    )
    from intaglio._functions_join import (
        block_diag as block_diag,
        cartesian_prod as cartesian_prod,
        cat as cat,
        chunk as chunk,
        column_stack as column_stack,
        combinations as combinations,
        concat as concat,
        concatenate as concatenate,
        dsplit as dsplit,
        dstack as dstack,
        hsplit as hsplit,
        hstack as hstack,
        meshgrid as meshgrid,
        roll as roll,
        row_stack as row_stack,
        split as split,
        stack as stack,
        tensor_split as tensor_split,
        vsplit as vsplit,
        vstack as vstack,
    )
    from intaglio._functions_linalg import (
        det as det,
        inverse as inverse,
        logdet as logdet,
        matrix_exp as matrix_exp,
        pinverse as pinverse,
        slogdet as slogdet,
        triangular_solve as triangular_solve,
    )
    from intaglio._functions_linalg_factor import (
        cholesky as cholesky,
        cholesky_inverse as cholesky_inverse,
        cholesky_solve as cholesky_solve,
        geqrf as geqrf,
        lu_unpack as lu_unpack,
        orgqr as orgqr,
        ormqr as ormqr,
    )
    from intaglio._functions_linalg_norm import (
        cdist as cdist,
        nuclear_norm as nuclear_norm,
    )
    from intaglio._functions_linalg_product import (
        corrcoef as corrcoef,
        cov as cov,
        pca_lowrank as pca_lowrank,
        svd_lowrank as svd_lowrank,
    )
    from intaglio._functions_linalg_root import (
        cross as cross,
        lu as lu,
        lu_solve as lu_solve,
        qr as qr,
        svd as svd,
    )
    from intaglio._functions_matmul import (
        addbmm as addbmm,
        addmm as addmm,
        addmv as addmv,
        addr as addr,
        baddbmm as baddbmm,
        bmm as bmm,
        chain_matmul as chain_matmul,
        dot as dot,
        einsum as einsum,
        ger as ger,
        inner as inner,
        kron as kron,
        matmul as matmul,
        matrix_power as matrix_power,
        mm as mm,
        mv as mv,
        outer as outer,
        tensordot as tensordot,
        vdot as vdot,
    )
    from intaglio._functions_movement import (
        adjoint as adjoint,
        atleast_1d as atleast_1d,
        atleast_2d as atleast_2d,
        atleast_3d as atleast_3d,
        broadcast_shapes as broadcast_shapes,
        broadcast_tensors as broadcast_tensors,
        broadcast_to as broadcast_to,
        clone as clone,
        detach as detach,
        expand_dims as expand_dims,
        flatten as flatten,
        flip as flip,
        fliplr as fliplr,
        flipud as flipud,
        moveaxis as moveaxis,
        movedim as movedim,
        narrow as narrow,
        permute as permute,
        ravel as ravel,
        repeat_interleave as repeat_interleave,
        reshape as reshape,
        rot90 as rot90,
        select as select,
        squeeze as squeeze,
        swapaxes as swapaxes,
        swapdims as swapdims,
        t as t,
        tile as tile,
        transpose as transpose,
        unbind as unbind,
        unflatten as unflatten,
        unsqueeze as unsqueeze,
    )
    from intaglio._functions_number import (
        angle as angle,
        conj as conj,
        conj_physical as conj_physical,
        frexp as frexp,
        gcd as gcd,
        heaviside as heaviside,
        imag as imag,
        isneginf as isneginf,
        isposinf as isposinf,
        isreal as isreal,
        lcm as lcm,
        ldexp as ldexp,
        nextafter as nextafter,
        real as real,
        resolve_conj as resolve_conj,
        resolve_neg as resolve_neg,
        signbit as signbit,
        sinc as sinc,
    )
    from intaglio._functions_pad import (
        constant_pad as constant_pad,
        constant_pad_nd as constant_pad_nd,
        pad_by_index as pad_by_index,
    )
    from intaglio._functions_prefix import (
        cummax as cummax,
        cummin as cummin,
        cumprod as cumprod,
        cumsum as cumsum,
        logcumsumexp as logcumsumexp,
    )
    from intaglio._functions_private import (
        _chunk_cat as _chunk_cat,
        _unsafe_masked_index as _unsafe_masked_index,
        _unsafe_masked_index_put_accumulate as _unsafe_masked_index_put_accumulate,
    )
    from intaglio._functions_questions import (
        get_device as get_device,
        is_complex as is_complex,
        is_conj as is_conj,
        is_floating_point as is_floating_point,
        is_inference as is_inference,
        is_neg as is_neg,
        is_nonzero as is_nonzero,
        is_same_size as is_same_size,
        is_signed as is_signed,
        is_storage as is_storage,
        numel as numel,
    )
    from intaglio._functions_random import (
        Generator as Generator,
        bernoulli as bernoulli,
        get_rng_state as get_rng_state,
        initial_seed as initial_seed,
        manual_seed as manual_seed,
        normal as normal,
        rand as rand,
        rand_like as rand_like,
        randint as randint,
        randint_like as randint_like,
        randn as randn,
        randn_like as randn_like,
        randperm as randperm,
        seed as seed,
        set_rng_state as set_rng_state,
    )
    from intaglio._functions_ranges import (
        arange as arange,
        eye as eye,
        linspace as linspace,
        logspace as logspace,
        range as range,
    )
    from intaglio._functions_reduce import (
        all as all,
        amax as amax,
        amin as amin,
        aminmax as aminmax,
        any as any,
        argmax as argmax,
        argmin as argmin,
        count_nonzero as count_nonzero,
        dist as dist,
        logsumexp as logsumexp,
        max as max,
        mean as mean,
        min as min,
        nanmean as nanmean,
        nansum as nansum,
        norm as norm,
        prod as prod,
        std as std,
        std_mean as std_mean,
        sum as sum,
        var as var,
        var_mean as var_mean,
    )
    from intaglio._functions_sampling import (
        binomial as binomial,
        multinomial as multinomial,
        poisson as poisson,
    )
    from intaglio._functions_scan import scan as scan
    from intaglio._functions_scatter import (
        dynamic_slice as dynamic_slice,
        dynamic_update_slice as dynamic_update_slice,
        index_reduce as index_reduce,
        masked_scatter as masked_scatter,
        scatter as scatter,
        scatter_add as scatter_add,
        scatter_reduce as scatter_reduce,
    )
    from intaglio._functions_search import (
        bucketize as bucketize,
        isin as isin,
        searchsorted as searchsorted,
    )
    from intaglio._functions_segment import segment_reduce as segment_reduce
    from intaglio._functions_sort import (
        argsort as argsort,
        kthvalue as kthvalue,
        median as median,
        msort as msort,
        sort as sort,
        topk as topk,
    )
    from intaglio._functions_special_erf import (
        erfinv as erfinv,
        xlogy as xlogy,
    )
    from intaglio._functions_special_gamma import (
        digamma as digamma,
        lgamma as lgamma,
        mvlgamma as mvlgamma,
        polygamma as polygamma,
    )
    from intaglio._functions_special_incomplete import (
        igamma as igamma,
        igammac as igammac,
    )
    from intaglio._functions_special_logs import (
        acosh as acosh,
        arccosh as arccosh,
        arcsinh as arcsinh,
        arctanh as arctanh,
        asinh as asinh,
        atanh as atanh,
        hypot as hypot,
        logaddexp as logaddexp,
        logaddexp2 as logaddexp2,
    )
    from intaglio._functions_special_modified import i0 as i0
    from intaglio._functions_statistics import (
        mode as mode,
        nanmedian as nanmedian,
        nanquantile as nanquantile,
        quantile as quantile,
        renorm as renorm,
    )
    from intaglio._functions_strided import (
        as_strided as as_strided,
        as_strided_scatter as as_strided_scatter,
    )
    from intaglio._functions_windows import (
        bartlett_window as bartlett_window,
        blackman_window as blackman_window,
        hamming_window as hamming_window,
        hann_window as hann_window,
        kaiser_window as kaiser_window,
    )
    from intaglio._jit import jit as jit
    from intaglio._kind import Size as Size
    from intaglio._layouts import (
        channels_last as channels_last,
        channels_last_3d as channels_last_3d,
        contiguous_format as contiguous_format,
        layout as layout,
        memory_format as memory_format,
        preserve_format as preserve_format,
        strided as strided,
    )
    from intaglio._modes import (
        enable_grad as enable_grad,
        inference_mode as inference_mode,
        is_grad_enabled as is_grad_enabled,
        is_inference_mode_enabled as is_inference_mode_enabled,
        no_grad as no_grad,
        set_grad_enabled as set_grad_enabled,
    )
    from intaglio._program import (
        Program as Program,
        trace as trace,
    )
    from intaglio._promote import (
        get_default_dtype as get_default_dtype,
        promote_types as promote_types,
        result_type as result_type,
        set_default_dtype as set_default_dtype,
    )
    from intaglio._recipe import program as program
    from intaglio._recorded import spec as spec
    from intaglio._repr import (
        get_printoptions as get_printoptions,
        set_printoptions as set_printoptions,
    )
    from intaglio._saving import save as save
    from intaglio._settings import (
        are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
        can_cast as can_cast,
        get_default_device as get_default_device,
        get_deterministic_debug_mode as get_deterministic_debug_mode,
        get_float32_matmul_precision as get_float32_matmul_precision,
        get_num_interop_threads as get_num_interop_threads,
        get_num_threads as get_num_threads,
        set_anomaly_enabled as set_anomaly_enabled,
        set_default_device as set_default_device,
        set_default_tensor_type as set_default_tensor_type,
        set_deterministic_debug_mode as set_deterministic_debug_mode,
        set_float32_matmul_precision as set_float32_matmul_precision,
        set_flush_denormal as set_flush_denormal,
        set_num_interop_threads as set_num_interop_threads,
        set_warn_always as set_warn_always,
        typename as typename,
        use_deterministic_algorithms as use_deterministic_algorithms,
    )
    from intaglio._tensor import Tensor as Tensor
    from intaglio._trace import (
        copied_outside_trace as copied_outside_trace,
        is_tracing as is_tracing,
    )
    from intaglio._watch import is_anomaly_enabled as is_anomaly_enabled
    from intaglio.amp import (
        autocast as autocast,
        is_autocast_enabled as is_autocast_enabled,
    )
    from intaglio.compiler.dims import Dim as Dim
    from intaglio.compiler.dtypes import (
        bfloat16 as bfloat16,
        float16 as float16,
        float32 as float32,
        float64 as float64,
        int16 as int16,
        int32 as int32,
        int64 as int64,
        int8 as int8,
        uint32 as uint32,
        uint8 as uint8,
    )
    from intaglio.compiler.errors import (
        ArgumentError as ArgumentError,
        CompileError as CompileError,
        DTypeError as DTypeError,
        DeviceError as DeviceError,
        Error as Error,
        FormatError as FormatError,
        GradientError as GradientError,
        IndexError as IndexError,
        InterruptedError as InterruptedError,
        LinAlgError as LinAlgError,
        MemoryError as MemoryError,
        MissingExtra as MissingExtra,
        NaNError as NaNError,
        ShapeError as ShapeError,
        TraceError as TraceError,
        VerifyError as VerifyError,
    )
    from intaglio.nn._grids import (
        grid_sampler as grid_sampler,
        grid_sampler_2d as grid_sampler_2d,
        grid_sampler_3d as grid_sampler_3d,
    )
    from intaglio.nn._native import (
        _batch_norm_with_update as _batch_norm_with_update,
        _native_batch_norm_legit as _native_batch_norm_legit,
        _softmax_backward_data as _softmax_backward_data,
        native_batch_norm as native_batch_norm,
        native_dropout_backward as native_dropout_backward,
        native_group_norm as native_group_norm,
        native_layer_norm as native_layer_norm,
    )
    from intaglio.nn._resampling import _upsample_bilinear2d_aa as _upsample_bilinear2d_aa
    from intaglio.nn._root_forms import (
        adaptive_max_pool1d as adaptive_max_pool1d,
        affine_grid_generator as affine_grid_generator,
        alpha_dropout_ as alpha_dropout_,
        batch_norm as batch_norm,
        binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
        convolution as convolution,
        cosine_embedding_loss as cosine_embedding_loss,
        ctc_loss as ctc_loss,
        dropout_ as dropout_,
        embedding as embedding,
        embedding_renorm_ as embedding_renorm_,
        feature_alpha_dropout_ as feature_alpha_dropout_,
        feature_dropout as feature_dropout,
        feature_dropout_ as feature_dropout_,
        frobenius_norm as frobenius_norm,
        hinge_embedding_loss as hinge_embedding_loss,
        instance_norm as instance_norm,
        kl_div as kl_div,
        layer_norm as layer_norm,
        margin_ranking_loss as margin_ranking_loss,
        max_pool1d_with_indices as max_pool1d_with_indices,
        native_dropout as native_dropout,
        norm_except_dim as norm_except_dim,
        poisson_nll_loss as poisson_nll_loss,
        triplet_margin_loss as triplet_margin_loss,
        vander as vander,
    )
    from intaglio.nn._summary import summary as summary
    from intaglio.nn.functional import (
        adaptive_avg_pool1d as adaptive_avg_pool1d,
        alpha_dropout as alpha_dropout,
        avg_pool1d as avg_pool1d,
        bilinear as bilinear,
        celu as celu,
        celu_ as celu_,
        channel_shuffle as channel_shuffle,
        cosine_similarity as cosine_similarity,
        dropout as dropout,
        feature_alpha_dropout as feature_alpha_dropout,
        group_norm as group_norm,
        hardshrink as hardshrink,
        log_softmax as log_softmax,
        max_pool1d as max_pool1d,
        max_pool2d as max_pool2d,
        max_pool3d as max_pool3d,
        pairwise_distance as pairwise_distance,
        pdist as pdist,
        pixel_shuffle as pixel_shuffle,
        pixel_unshuffle as pixel_unshuffle,
        prelu as prelu,
        relu_ as relu_,
        rms_norm as rms_norm,
        rrelu as rrelu,
        rrelu_ as rrelu_,
        selu as selu,
        selu_ as selu_,
        softmax as softmax,
        threshold as threshold,
        threshold_ as threshold_,
    )
    from intaglio.runtime import (
        load as load,
        num_threads as num_threads,
        set_num_threads as set_num_threads,
    )
    from intaglio.runtime.torch_files import load_torch as load_torch
    from intaglio.runtime.version import __version__ as __version__
    from intaglio.runtime.weights import (
        load_weights as load_weights,
        save_weights as save_weights,
    )

# Home module -> the public names that it gives to the root.
_NAMES: dict[str, str] = {
    "intaglio._checkpoint": "CheckpointError load_checkpoint save_checkpoint",
    "intaglio._compare": "compare",
    "intaglio._constants": "e inf nan newaxis pi",
    "intaglio._core": "Parameter is_tensor",
    "intaglio._custom": "custom_vjp",
    "intaglio._extend": "c_op custom_op numpy_op",
    "intaglio._debug": "debug_print",
    "intaglio._dtype_names": "bool double dtype finfo float half iinfo int long short",
    "intaglio._functions_compare": """
        allclose bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
        bitwise_xor eq equal ge greater greater_equal gt isclose le less less_equal logical_and
        logical_not logical_or logical_xor lt ne not_equal""",
    "intaglio._functions_convolution": """
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    "intaglio._functions_create": """
        as_tensor asarray empty empty_like empty_permuted empty_strided from_dlpack
        from_numpy frombuffer full full_like ones ones_like scalar_tensor tensor zeros
        zeros_like""",
    "intaglio._functions_diagonal": """
        diag diag_embed diagflat diagonal diagonal_scatter tril tril_indices triu
        triu_indices""",
    "intaglio._functions_strided": "as_strided as_strided_scatter",
    "intaglio._functions_complex": "complex polar view_as_complex view_as_real",
    "intaglio._functions_copies": """
        alias_copy as_strided_copy detach_copy diagonal_copy expand_copy fill narrow_copy
        permute_copy select_copy select_scatter slice slice_copy slice_scatter split_copy
        split_with_sizes split_with_sizes_copy squeeze_copy t_copy transpose_copy
        unbind_copy unfold_copy unsafe_chunk unsafe_split unsafe_split_with_sizes
        unsqueeze_copy view_copy""",
    "intaglio._functions_ranges": "arange eye linspace logspace range",
    "intaglio._functions_in_place": """
        abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_
        as_strided_ asin_ asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_
        conj_physical_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp_ exp2_ expm1_ fill_ fix_ floor_
        frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log_ log10_ log1p_ log2_ logit_ nan_to_num_ neg_
        negative_ rad2deg_ reciprocal_ resize_as_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_
        sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_""",
    "intaglio._functions_private": """
        _chunk_cat _unsafe_masked_index _unsafe_masked_index_put_accumulate""",
    "intaglio._functions_questions": """
        get_device is_complex is_conj is_floating_point is_inference is_neg is_nonzero
        is_same_size is_signed is_storage numel""",
    "intaglio._constructors": """
        BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor
        IntTensor LongTensor ShortTensor""",
    "intaglio._device_names": "device",
    "intaglio._layouts": """
        channels_last channels_last_3d contiguous_format layout memory_format
        preserve_format strided""",
    "intaglio._functions_data": """
        argwhere bincount masked_select nonzero nonzero_static unique unique_consecutive""",
    "intaglio._functions_segment": "segment_reduce",
    "intaglio._functions_elementwise": """
        abs absolute acos add addcdiv addcmul arccos arcsin arctan arctan2
        asin atan atan2 ceil clamp clamp_max clamp_min clip copysign cos
        cosh deg2rad div divide erf erfc exp exp2 expm1 fix float_power floor floor_divide fmax
        fmin fmod frac isfinite isinf isnan lerp log log10 log1p log2 logit
        maximum minimum mul multiply nan_to_num neg negative positive pow rad2deg reciprocal
        relu remainder round rsqrt rsub sgn sigmoid sign sin sinh sqrt square stop_gradient sub
        subtract tan tanh true_divide trunc where""",
    "intaglio._functions_gather": """
        gather index_add index_copy index_fill index_select masked_fill put take take_along_dim
        take_rows unravel_index""",
    "intaglio._functions_index": "index_put",
    "intaglio._functions_join": """
        block_diag cartesian_prod cat chunk column_stack combinations concat concatenate
        dsplit dstack hsplit hstack meshgrid roll row_stack split stack tensor_split vsplit
        vstack""",
    "intaglio._functions_linalg": """
        det inverse logdet matrix_exp pinverse slogdet triangular_solve""",
    "intaglio._functions_linalg_factor": """
        cholesky cholesky_inverse cholesky_solve geqrf lu_unpack orgqr ormqr""",
    "intaglio._functions_linalg_norm": "cdist nuclear_norm",
    "intaglio._functions_linalg_product": "corrcoef cov pca_lowrank svd_lowrank",
    "intaglio._functions_linalg_root": "cross lu lu_solve qr svd",
    "intaglio._functions_matmul": """
        addbmm addmm addmv addr baddbmm bmm chain_matmul dot einsum ger inner kron matmul
        matrix_power mm mv outer tensordot vdot""",
    "intaglio._functions_movement": """
        adjoint atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors
        broadcast_to clone detach expand_dims flatten flip fliplr flipud moveaxis movedim narrow
        permute ravel repeat_interleave reshape rot90 select squeeze swapaxes swapdims t
        tile transpose unbind unflatten unsqueeze""",
    "intaglio._functions_pad": "constant_pad constant_pad_nd pad_by_index",
    "intaglio._functions_calculus": "cumulative_trapezoid diff gradient trapezoid trapz",
    "intaglio._functions_histogram": "histc histogram histogramdd",
    "intaglio._functions_windows": """
        bartlett_window blackman_window hamming_window hann_window kaiser_window""",
    "intaglio._functions_search": "bucketize isin searchsorted",
    "intaglio._functions_statistics": "mode nanmedian nanquantile quantile renorm",
    "intaglio._functions_random": """
        Generator bernoulli get_rng_state initial_seed manual_seed normal rand
        rand_like randint randint_like randn randn_like randperm seed set_rng_state""",
    "intaglio._functions_sampling": "binomial multinomial poisson",
    "intaglio._functions_reduce": """
        all amax amin aminmax any argmax argmin count_nonzero dist logsumexp max mean min
        nanmean nansum norm prod std std_mean sum var var_mean""",
    "intaglio._functions_prefix": "cummax cummin cumprod cumsum logcumsumexp",
    "intaglio._functions_scan": "scan",
    "intaglio._functions_scatter": """
        dynamic_slice dynamic_update_slice index_reduce masked_scatter scatter scatter_add
        scatter_reduce""",
    "intaglio._functions_special_gamma": "digamma lgamma mvlgamma polygamma",
    "intaglio._functions_special_erf": "erfinv xlogy",
    "intaglio._functions_number": """
        angle conj conj_physical frexp gcd heaviside imag isneginf isposinf isreal lcm ldexp
        nextafter real resolve_conj resolve_neg signbit sinc""",
    "intaglio._functions_special_modified": "i0",
    "intaglio._functions_special_incomplete": "igamma igammac",
    "intaglio._functions_special_logs": """
        acosh arccosh arcsinh arctanh asinh atanh hypot logaddexp logaddexp2""",
    "intaglio._functions_sort": "argsort kthvalue median msort sort topk",
    "intaglio._compile": "compile",
    "intaglio._functions_interchange": "from_file to_dlpack",
    "intaglio._jit": "jit",
    "intaglio._kind": "Size",
    "intaglio._modes": """
        enable_grad inference_mode is_grad_enabled is_inference_mode_enabled no_grad
        set_grad_enabled""",
    "intaglio._program": "Program trace",
    "intaglio._promote": "get_default_dtype promote_types result_type set_default_dtype",
    "intaglio._recipe": "program",
    "intaglio._recorded": "spec",
    "intaglio._repr": "get_printoptions set_printoptions",
    "intaglio._saving": "save",
    "intaglio._settings": """
        are_deterministic_algorithms_enabled can_cast get_default_device
        get_deterministic_debug_mode get_float32_matmul_precision get_num_interop_threads
        get_num_threads set_anomaly_enabled
        set_default_device set_default_tensor_type set_deterministic_debug_mode
        set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_warn_always
        typename use_deterministic_algorithms""",
    "intaglio._tensor": "Tensor",
    "intaglio._trace": "copied_outside_trace is_tracing",
    "intaglio._watch": "is_anomaly_enabled",
    "intaglio.amp": "autocast is_autocast_enabled",
    "intaglio.compiler.dims": "Dim",
    "intaglio.compiler.dtypes": """
        bfloat16 float16 float32 float64 int16 int32 int64 int8 uint32 uint8""",
    "intaglio.compiler.errors": """
        ArgumentError CompileError DTypeError DeviceError Error FormatError GradientError
        IndexError InterruptedError LinAlgError MemoryError MissingExtra NaNError ShapeError
        TraceError VerifyError""",
    "intaglio.nn._grids": "grid_sampler grid_sampler_2d grid_sampler_3d",
    "intaglio.nn._native": """
        _batch_norm_with_update _native_batch_norm_legit _softmax_backward_data native_batch_norm
        native_dropout_backward native_group_norm native_layer_norm""",
    "intaglio.nn._resampling": "_upsample_bilinear2d_aa",
    "intaglio.nn._root_forms": """
        adaptive_max_pool1d affine_grid_generator alpha_dropout_ batch_norm
        binary_cross_entropy_with_logits convolution cosine_embedding_loss ctc_loss dropout_
        embedding embedding_renorm_ feature_alpha_dropout_ feature_dropout feature_dropout_
        frobenius_norm hinge_embedding_loss instance_norm kl_div layer_norm margin_ranking_loss
        max_pool1d_with_indices native_dropout norm_except_dim poisson_nll_loss
        triplet_margin_loss vander""",
    "intaglio.nn._summary": "summary",
    "intaglio.nn.functional": """
        adaptive_avg_pool1d alpha_dropout avg_pool1d bilinear celu celu_ channel_shuffle
        cosine_similarity dropout feature_alpha_dropout group_norm hardshrink log_softmax
        max_pool1d max_pool2d max_pool3d
        pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu relu_ rms_norm rrelu rrelu_
        selu selu_ softmax threshold threshold_""",
    "intaglio.runtime": "load num_threads set_num_threads",
    "intaglio.runtime.version": "__version__",
    "intaglio.runtime.torch_files": "load_torch",
    "intaglio.runtime.weights": "load_weights save_weights",
}
_SUBMODULES = (
    "amp",
    "autograd",
    "backends",
    "cuda",
    "data",
    "func",
    "linalg",
    "masked",
    "multiprocessing",
    "nn",
    "optim",
    "random",
    "signal",
    "special",
    "utils",
)

_HOME = {name: home for home, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # type checkers would take it as a promise that any name exists

    def __getattr__(name: str) -> object:
        """Import a public name or submodule on first use, and keep it: this runs once for each."""
        if name in _HOME:
            value = getattr(import_module(_HOME[name]), name)
            if _HOME[name].startswith("intaglio._functions"):
                import_module("intaglio._tensor")  # so that what they make has its methods
        elif name in _SUBMODULES:
            value = import_module(f"intaglio.{name}")
        else:
            raise AttributeError(f"module 'intaglio' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """All public names, whether or not they are imported yet."""
    return sorted({*_HOME, *_SUBMODULES})
