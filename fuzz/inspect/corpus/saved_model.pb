‘
Ú"serve*2.15.02ÈxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxS
2
vVarHandleOp*
dtype0*
shape
:


cConst

rReadFile*
serving_default:J
H"F
_tf_keras_layer3{"name": "l", "class_name": "Lambda", "config": {}}