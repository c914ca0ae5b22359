"""Training: one loop for all stages; what differs between stages is data.

Other packages use these modules, and these packages by the names that they export; the rest is internal:

- ``training.config``: the configuration of a run; ``training.stages``: the stages as data
- ``training.loop``: ``train``; ``training.control``: what a process does, and its stop; ``training.publish``:
  ``finished_bundle``
- ``training.batch_source``: where batches come from
- ``training.run_folder``, ``training.journal``, ``training.events``: what a run leaves behind
- ``training.initialisation``: where the initial weights of a stage come from
- ``training.processes``: errors, output and signs of life of the processes of a run
- ``training.trainable``: which parameters a stage trains
- ``training.checkpoints``: what resuming continues from

Nothing is imported here: configuration, stages, journal and source bundles are used without torch.
"""
