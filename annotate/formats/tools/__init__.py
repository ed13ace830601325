"""Files of labelling and pose tools: CVAT's XML, Label Studio, labelme, OpenPose; `gathered`: one file a picture."""
