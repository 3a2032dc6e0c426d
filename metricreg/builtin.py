"""The built-in plugin: lists what metricreg ships, through the hooks that every plugin uses, and nothing else."""

from __future__ import annotations

from metricreg.registry.hookspecs import hookimpl


@hookimpl
def metricreg_distances() -> dict[str, str]:
    """Built-in distances."""
    return {
        "cosine": "metricreg.distances.cosine:CosineSimilarity",
        "dot_product": "metricreg.distances.dot_product:DotProductSimilarity",
        "lp": "metricreg.distances.lp:LpDistance",
        "mahalanobis": "metricreg.distances.mahalanobis:MahalanobisDistance",
        "snr": "metricreg.distances.snr:SNRDistance",
    }


@hookimpl
def metricreg_losses() -> dict[str, str]:
    """Built-in losses."""
    return {
        "adaface": "metricreg.losses.adaface:AdaFaceLoss",
        "angular": "metricreg.losses.angular:AngularLoss",
        "arcface": "metricreg.losses.arcface:ArcFaceLoss",
        "barlow_twins": "metricreg.losses.barlow_twins:BarlowTwinsLoss",
        "circle": "metricreg.losses.circle:CircleLoss",
        "contrastive": "metricreg.losses.contrastive:ContrastiveLoss",
        "cosface": "metricreg.losses.cosface:CosFaceLoss",
        "cross_batch_memory": "metricreg.losses.cross_batch_memory:CrossBatchMemoryLoss",
        "curricularface": "metricreg.losses.curricularface:CurricularFaceLoss",
        "decoupled_contrastive": "metricreg.losses.decoupled_contrastive:DecoupledContrastiveLoss",
        "dynamic_arcface": "metricreg.losses.dynamic_arcface:DynamicArcFaceLoss",
        "dynamic_soft_margin": "metricreg.losses.dynamic_soft_margin:DynamicSoftMarginLoss",
        "fast_ap": "metricreg.losses.fast_ap:FastAPLoss",
        "generalized_lifted_structure": "metricreg.losses.generalized_lifted_structure:GeneralizedLiftedStructureLoss",
        "histogram": "metricreg.losses.histogram:HistogramLoss",
        "instance": "metricreg.losses.instance:InstanceLoss",
        "intra_pair_variance": "metricreg.losses.intra_pair_variance:IntraPairVarianceLoss",
        "large_margin_softmax": "metricreg.losses.large_margin_softmax:LargeMarginSoftmaxLoss",
        "lifted_structure": "metricreg.losses.lifted_structure:LiftedStructureLoss",
        "manifold": "metricreg.losses.manifold:ManifoldLoss",
        "margin": "metricreg.losses.margin:MarginLoss",
        "multi_similarity": "metricreg.losses.multi_similarity:MultiSimilarityLoss",
        "multi_supcon": "metricreg.losses.multi_supcon:MultiSupConLoss",
        "multiple": "metricreg.losses.multiple:MultipleLosses",
        "nca": "metricreg.losses.nca:NCALoss",
        "normalized_softmax": "metricreg.losses.normalized_softmax:NormalizedSoftmaxLoss",
        "npairs": "metricreg.losses.npairs:NPairsLoss",
        "ntxent": "metricreg.losses.ntxent:NTXentLoss",
        "p2s_grad": "metricreg.losses.p2s_grad:P2SGradLoss",
        "pnp": "metricreg.losses.pnp:PNPLoss",
        "proxy_anchor": "metricreg.losses.proxy_anchor:ProxyAnchorLoss",
        "proxy_nca": "metricreg.losses.proxy_nca:ProxyNCALoss",
        "ranked_list": "metricreg.losses.ranked_list:RankedListLoss",
        "recall_at_k": "metricreg.losses.recall_at_k:RecallAtKLoss",
        "selectively_contrastive_triplet": (
            "metricreg.losses.selectively_contrastive_triplet:SelectivelyContrastiveTripletLoss"
        ),
        "self_supervised": "metricreg.losses.self_supervised:SelfSupervisedLoss",
        "siglip": "metricreg.losses.siglip:SigLIPLoss",
        "smooth_ap": "metricreg.losses.smooth_ap:SmoothAPLoss",
        "snr_contrastive": "metricreg.losses.snr_contrastive:SNRContrastiveLoss",
        "soft_triple": "metricreg.losses.soft_triple:SoftTripleLoss",
        "sphereface": "metricreg.losses.sphereface:SphereFaceLoss",
        "subcenter_arcface": "metricreg.losses.subcenter_arcface:SubCenterArcFaceLoss",
        "supcon": "metricreg.losses.supcon:SupConLoss",
        "threshold_consistent_margin": "metricreg.losses.threshold_consistent_margin:ThresholdConsistentMarginLoss",
        "triplet_margin": "metricreg.losses.triplet_margin:TripletMarginLoss",
        "tuplet_margin": "metricreg.losses.tuplet_margin:TupletMarginLoss",
        "vicreg": "metricreg.losses.vicreg:VICRegLoss",
    }


@hookimpl
def metricreg_reducers() -> dict[str, str]:
    """Built-in reducers."""
    return {
        "avg_non_zero": "metricreg.reducers.avg_non_zero:AvgNonZeroReducer",
        "class_weighted": "metricreg.reducers.class_weighted:ClassWeightedReducer",
        "divisor": "metricreg.reducers.divisor:DivisorReducer",
        "do_nothing": "metricreg.reducers.do_nothing:DoNothingReducer",
        "mean": "metricreg.reducers.mean:MeanReducer",
        "multiple": "metricreg.reducers.multiple:MultipleReducers",
        "per_anchor": "metricreg.reducers.per_anchor:PerAnchorReducer",
        "sum": "metricreg.reducers.sum:SumReducer",
        "threshold": "metricreg.reducers.threshold:ThresholdReducer",
    }


@hookimpl
def metricreg_regularizers() -> dict[str, str]:
    """Built-in regularizers."""
    return {
        "center_invariant": "metricreg.regularizers.center_invariant:CenterInvariantRegularizer",
        "l1": "metricreg.regularizers.l1:L1Regularizer",
        "l1_l2": "metricreg.regularizers.l1_l2:L1L2Regularizer",
        "l2": "metricreg.regularizers.l2:L2Regularizer",
        "lp": "metricreg.regularizers.lp:LpRegularizer",
        "orthogonal": "metricreg.regularizers.orthogonal:OrthogonalRegularizer",
        "regular_face": "metricreg.regularizers.regular_face:RegularFaceRegularizer",
        "sparse_centers": "metricreg.regularizers.sparse_centers:SparseCentersRegularizer",
        "spherical_embedding": "metricreg.regularizers.spherical_embedding:SphericalEmbeddingRegularizer",
        "zero_mean": "metricreg.regularizers.zero_mean:ZeroMeanRegularizer",
    }


@hookimpl
def metricreg_miners() -> dict[str, str]:
    """Built-in miners."""
    return {
        "angular": "metricreg.miners.angular:AngularMiner",
        "batch_easy_hard": "metricreg.miners.batch_easy_hard:BatchEasyHardMiner",
        "batch_hard": "metricreg.miners.batch_hard:BatchHardMiner",
        "distance_weighted": "metricreg.miners.distance_weighted:DistanceWeightedMiner",
        "hdc": "metricreg.miners.hdc:HDCMiner",
        "multi_similarity": "metricreg.miners.multi_similarity:MultiSimilarityMiner",
        "packaged_triplets": "metricreg.miners.packaged_triplets:PackagedTripletsMiner",
        "pair_margin": "metricreg.miners.pair_margin:PairMarginMiner",
        "triplet_margin": "metricreg.miners.triplet_margin:TripletMarginMiner",
        "uniform_histogram": "metricreg.miners.uniform_histogram:UniformHistogramMiner",
    }


@hookimpl
def metricreg_matches() -> dict[str, str]:
    """Built-in matches."""
    return {
        "jaccard": "metricreg.matches.jaccard:JaccardMatch",
        "same_label": "metricreg.matches.same_label:SameLabelMatch",
        "share_any": "metricreg.matches.share_any:ShareAnyMatch",
    }
