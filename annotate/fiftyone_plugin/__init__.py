"""FiftyOne plugin `@poseunion/complete` and the zoo model.

`linked` ties a dataset to its extended file, `complete_people` completes a user's own dataset, `operators` and `panel`
are what the App shows, `install` copies the folders that FiftyOne finds: `plugins`, `zoo`. Decisions go through
`annotate.review.fiftyone`.
"""
